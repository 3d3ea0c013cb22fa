//! The routes file changes while the process runs.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamgate::testing::eventually_async;

use super::gateway::{Ask, Gateway, RoutesFile, one_route};
use super::upstream::{Act, Upstream, ok};

#[tokio::test]
async fn a_stream_that_is_added_is_served_and_one_taken_away_ends() {
    let upstream = Upstream::answering(ok("done")).await;
    let jobs = one_route(&upstream.url(), "", "");
    let gateway = Gateway::start(&jobs).await;
    let version = || async { gateway.proxy.get("/healthz").await.json()["routesVersion"].clone() };
    let before = version().await;
    let names = || async {
        let served = gateway.proxy.get("/streams").await.json();
        served
            .as_array()
            .expect("a list")
            .iter()
            .map(|it| it["name"].to_string())
            .collect::<Vec<_>>()
            .join(",")
    };

    gateway.file.write(&jobs.replace("stream: jobs", "stream: tasks"));

    eventually_async("the new stream is served", async || names().await.contains("tasks")).await;
    assert_ne!(version().await, before);
    assert_eq!(gateway.ask(Ask::post("x").on("tasks", "jobs")).await.status, 200);
    eventually_async("the old stream is left", async || !names().await.contains("jobs")).await;
    assert_eq!(gateway.proxy.get("/readyz").await.status, 200);
    let metrics = gateway.proxy.get("/metrics").await.text;
    let now = version().await;
    let line = format!("routes_version{{version={now}}} 1");
    assert!(metrics.contains(&line), "{line} is not in:\n{metrics}");

    gateway.file.write(&jobs);

    eventually_async("it comes back", async || names().await.contains("jobs")).await;
    assert_eq!(gateway.ask(Ask::post("x")).await.status, 200);
}

#[tokio::test]
async fn what_waits_on_a_stream_taken_away_is_finished() {
    let upstream =
        Upstream::start(|_, _| vec![Act::Wait(Duration::from_millis(100)), Act::Send(ok("done"))]).await;
    let jobs = one_route(&upstream.url(), "", "concurrency: 1");
    let gateway = Gateway::start(&jobs).await;

    let waiting = futures_util::future::join_all((0..30).map(|_| gateway.ask(Ask::post("x"))));
    let (replies, ()) = tokio::join!(waiting, async {
        eventually_async("all wait", async || gateway.server.command::<u64>(&["XLEN", "jobs"]) == 30).await;
        gateway.file.write(&jobs.replace("stream: jobs", "stream: tasks"));
    });

    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(upstream.count(), 30);
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_is_counted() {
    let upstream = Upstream::answering(ok("done")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;
    let failures = || async {
        let metrics = gateway.proxy.get("/metrics").await.text;
        crate::harness::metric(&metrics, "routes_reload_failures_total").unwrap_or_default()
    };
    assert!(failures().await < 1.0);

    gateway.file.write("version: 1\nroutes: [");

    eventually_async("the failure is counted", async || failures().await >= 1.0).await;
    assert_eq!(gateway.ask(Ask::post("x")).await.status, 200);
}

#[tokio::test]
async fn a_bad_file_at_the_start_ends_the_process_with_64() {
    let file = RoutesFile::new("version: 1\nroutes: [");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_proxy"))
        .arg("--routes-file")
        .arg(file.path())
        .output()
        .expect("the process runs");

    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64), "{message}");
    assert!(message.contains("ROUTES_FILE=") && message.contains("routes.yaml:2:"), "{message}");
}

#[tokio::test]
async fn a_reload_under_load_loses_no_request() {
    let [one, other] = [Upstream::answering(ok("done")).await, Upstream::answering(ok("done")).await];
    let gateway = Gateway::to(&one.url(), "", "").await;

    // Ten callers ask without a pause until the other upstream has answered some of them.
    let asked = AtomicUsize::new(0);
    let load = futures_util::future::join_all((0..10).map(async |_| {
        let mut statuses = Vec::new();
        while other.count() < 20 {
            statuses.push(gateway.ask(Ask::post("x")).await.status);
            asked.fetch_add(1, Ordering::Relaxed);
        }
        statuses
    }));
    let (statuses, ()) = tokio::join!(load, async {
        eventually_async("the first is asked", async || one.count() > 20).await;
        gateway.file.write(&one_route(&other.url(), "", ""));
    });

    assert!(statuses.iter().flatten().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(one.count() + other.count(), asked.into_inner(), "each is done once");
}
