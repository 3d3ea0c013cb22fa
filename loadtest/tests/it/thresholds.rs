use serde_json::Value;

use crate::exit_codes::{loadtest, text};
use crate::gateway::{Gateway, forecast, problem};

/// Every second request fails.
async fn half_broken() -> Gateway {
    Gateway::start(|number, body| async move {
        if number % 2 == 0 { problem(503, "no") } else { forecast(&body) }
    })
    .await
}

#[tokio::test]
async fn the_user_sets_how_many_requests_may_fail() {
    let gateway = half_broken().await;
    let url = gateway.url();

    for (allowed, code) in [("0.5", 0), ("50%", 0), ("0.49", 1), ("0", 1)] {
        let output = loadtest(&["--url", &url, "--count", "20", "--max-error-rate", allowed]).await;

        assert_eq!(output.status.code(), Some(code), "{allowed}");
        let missed = text(&output.stdout).contains("missed      50.00 % failed, at most");
        assert_eq!(missed, code == 1, "{allowed}: {}", text(&output.stdout));
    }
}

#[tokio::test]
async fn answers_slower_than_the_bound_set_the_exit_code() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;
    let url = gateway.url();

    for (bound, code) in [("1h", 0), ("1us", 1)] {
        let output =
            loadtest(&["--url", &url, "--count", "20", "--p99-under", bound, "--output", "json"]).await;

        assert_eq!(output.status.code(), Some(code), "{bound}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["thresholds"][1]["met"], code == 0, "{report}");
    }
}

#[tokio::test]
async fn a_load_without_a_right_answer_misses_its_latency_bound() {
    let gateway = Gateway::start(|_, _| async { problem(503, "no") }).await;

    let output =
        loadtest(&["--url", &gateway.url(), "--max-error-rate", "100%", "--p99-under", "1h", "--count", "3"])
            .await;

    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("there was no right answer"), "{}", text(&output.stdout));
}
