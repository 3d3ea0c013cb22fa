use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::gateway::{Gateway, forecast, problem, unused_address};

/// Runs the program itself, off the test's runtime.
pub(crate) async fn loadtest(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(args);
    tokio::task::spawn_blocking(move || command.output().expect("it starts")).await.expect("it ends")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn zero_if_all_requests_succeeded() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;

    let output = loadtest(&["--url", &gateway.url(), "--count", "20"]).await;

    assert_eq!(output.status.code(), Some(0));
    let report = text(&output.stdout);
    assert!(report.contains("20 succeeded, 0 failed") && report.contains("p99.9"), "{report}");
    assert_eq!(text(&output.stderr), "", "no progress bar without a terminal");
}

#[tokio::test]
async fn a_closed_output_is_no_error() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;
    let url = gateway.url();

    for args in [&["--url", &url, "--output", "text"][..], &["--url", &url, "--output", "json"], &["--help"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        command.args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut running = command.spawn().expect("it starts");
        // Closes the output as `head` does. The program prints nothing before the load is over.
        drop(running.stdout.take());
        let output = tokio::task::spawn_blocking(move || running.wait_with_output());
        let output = output.await.expect("joins").expect("it ends");

        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{args:?}");
    }
}

#[tokio::test]
async fn one_if_requests_failed_and_the_json_names_the_failures() {
    let gateway = Gateway::start(|_, _| async { problem(503, "no worker is alive") }).await;

    let output = loadtest(&["--url", &gateway.url(), "--count", "5", "--output", "json"]).await;

    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["requests"], &report["failed"]), (&5.into(), &5.into()));
    assert_eq!(report["failures"][0]["kind"], "http_503");
    assert_eq!(report["latency_ms"], Value::Null);
}

#[tokio::test]
async fn sixty_four_if_an_argument_is_wrong() {
    let output = loadtest(&["--count", "0"]).await;

    assert_eq!(output.status.code(), Some(64));
    assert_eq!(text(&output.stderr), "invalid arguments: --count=0 must be a whole number of at least 1\n");
}

#[tokio::test]
async fn sixty_nine_if_no_gateway_is_up() {
    let output = loadtest(&["--url", &unused_address()]).await;

    assert_eq!(output.status.code(), Some(69));
    assert!(text(&output.stderr).contains("make up"), "{}", text(&output.stderr));
}
