use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::response::IntoResponse;
use loadtest::FailureKind;
use loadtest::health::Unavailable;
use serde_json::json;
use tokio::sync::Barrier;

use crate::gateway::{Gateway, forecast, options, problem, unused_address};

#[tokio::test]
async fn right_answers_are_counted_and_timed() {
    let cities = Arc::new(Mutex::new(HashSet::new()));
    let seen = cities.clone();
    let gateway = Gateway::start(move |_, body| {
        seen.lock().expect("not poisoned").insert(body["city"].to_string());
        async move { forecast(&body) }
    })
    .await;

    let report =
        loadtest::run(&gateway.options(&["--mode", "sequential", "--count", "40"])).await.expect("up");

    assert_eq!((report.requests, report.succeeded, report.failed), (40, 40, 0));
    assert!(cities.lock().expect("not poisoned").len() >= 15, "the corpus has many cities");
    let latency = report.latency_ms.expect("there were answers");
    assert!(0.0 < latency.p50 && latency.p50 <= latency.p99 && latency.p99 <= latency.max, "{latency:?}");
    assert!(report.throughput_per_second > 0.0);
}

#[tokio::test]
async fn an_api_key_is_presented_with_every_request() {
    let gateway = Gateway::asking_for("k1").await;

    let with = loadtest::run(&gateway.options(&["--api-key", "k1", "--count", "5"])).await.expect("up");
    let without = loadtest::run(&gateway.options(&["--count", "5"])).await.expect("up");

    assert_eq!((with.succeeded, without.succeeded), (5, 0));
    assert_eq!(without.failures[0].kind, "http_401");
}

#[tokio::test]
async fn concurrent_mode_keeps_the_given_number_in_flight() {
    // The gateway answers once four requests wait at the same time.
    let four = Arc::new(Barrier::new(4));
    let gateway = Gateway::start(move |_, body| {
        let four = four.clone();
        async move {
            four.wait().await;
            forecast(&body)
        }
    })
    .await;
    let options = gateway.options(&["--count", "8", "--concurrency", "4", "--timeout", "10s"]);

    let report = loadtest::run(&options).await.expect("up");

    assert_eq!((report.succeeded, report.concurrency), (8, Some(4)));
}

#[tokio::test]
async fn errors_are_counted_by_status() {
    let gateway = Gateway::start(|number, body| async move {
        match number % 4 {
            0 => problem(503, "no worker is alive"),
            1 => problem(504, "the deadline passed"),
            _ => forecast(&body),
        }
    })
    .await;

    let report = loadtest::run(&gateway.options(&["--count", "40"])).await.expect("up");

    assert_eq!((report.succeeded, report.failed), (20, 20));
    assert_eq!(report.count_of(FailureKind::Status(503)), 10);
    assert_eq!(report.count_of(FailureKind::Status(504)), 10);
    assert_eq!(report.failures[0].example, "no worker is alive");
}

#[tokio::test]
async fn a_forecast_for_another_city_is_a_failure() {
    let gateway = Gateway::start(|number, body| async move {
        if number == 3 { Json(json!({"city": "Atlantis"})).into_response() } else { forecast(&body) }
    })
    .await;

    let report = loadtest::run(&gateway.options(&["--count", "10"])).await.expect("up");

    assert_eq!((report.succeeded, report.count_of(FailureKind::WrongCity)), (9, 1));
    assert!(report.failures[0].example.contains("got Atlantis"), "{}", report.failures[0].example);
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout() {
    let gateway = Gateway::start(|number, body| async move {
        if number == 0 {
            std::future::pending::<()>().await;
        }
        forecast(&body)
    })
    .await;
    let options = gateway.options(&["--mode", "sequential", "--count", "3", "--timeout", "200ms"]);

    let report = loadtest::run(&options).await.expect("up");

    assert_eq!((report.succeeded, report.count_of(FailureKind::Timeout)), (2, 1));
}

#[tokio::test]
async fn a_closed_loop_ends_with_its_duration() {
    let gateway = Gateway::start(|_, body| async move { forecast(&body) }).await;

    for mode in ["sequential", "concurrent"] {
        let options = gateway.options(&["--mode", mode, "--duration", "200ms"]);
        let report = loadtest::run(&options).await.expect("up");

        assert!(report.requests >= 1 && report.failed == 0, "{report}");
        assert!(report.elapsed_seconds >= 0.2, "{report}");
    }
}

#[tokio::test]
async fn refusals_are_timed_apart_from_answers() {
    let gateway = Gateway::start(|number, body| async move {
        if number % 2 == 0 {
            return problem(503, "too many callers wait");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        forecast(&body)
    })
    .await;

    let report = loadtest::run(&gateway.options(&["--count", "10"])).await.expect("up");

    assert!(report.latency_ms.expect("answers").p50 >= 1_000.0);
    assert!(report.failures[0].latency_ms.p50 < 1_000.0, "{:?}", report.failures);
}

#[tokio::test]
async fn goodput_leaves_out_answers_that_came_too_late() {
    let gateway = Gateway::start(|number, body| async move {
        if number == 0 {
            tokio::time::sleep(Duration::from_millis(2_100)).await;
        }
        forecast(&body)
    })
    .await;

    let report = loadtest::run(&gateway.options(&["--count", "10", "--deadline", "2s"])).await.expect("up");

    assert_eq!((report.succeeded, report.goodput.expect("a deadline").in_time), (10, 9));
}

#[tokio::test]
async fn the_users_own_bodies_are_sent_and_checked() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(b"{\"city\":\"Atlantis\",\"location\":\"Deep\"}\n{\"city\":\"Vineta\"}\n")
        .expect("written");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let bodies = seen.clone();
    let gateway = Gateway::start(move |_, body| {
        bodies.lock().expect("not poisoned").push(body.to_string());
        async { Json(json!({"city": "Atlantis"})).into_response() }
    })
    .await;
    let path = file.path().to_str().expect("UTF-8");
    let options = gateway.options(&["--mode", "sequential", "--count", "3", "--body-file", path]);

    let report = loadtest::run(&options).await.expect("up");

    let (atlantis, vineta) = (r#"{"city":"Atlantis","location":"Deep"}"#, r#"{"city":"Vineta"}"#);
    assert_eq!(*seen.lock().expect("not poisoned"), [atlantis, vineta, atlantis]);
    assert_eq!((report.succeeded, report.count_of(FailureKind::WrongCity)), (2, 1));
}

#[tokio::test]
async fn nothing_is_sent_if_no_gateway_listens() {
    let error = loadtest::run(&options(&unused_address(), &[])).await.expect_err("no gateway is there");

    assert!(matches!(error.downcast_ref(), Some(Unavailable::Silent { .. })), "{error}");
}

#[tokio::test]
async fn no_load_is_sent_to_an_unhealthy_gateway() {
    let gateway = Gateway::unhealthy().await;

    let error = loadtest::run(&gateway.options(&[])).await.expect_err("unhealthy");

    assert!(matches!(error.downcast_ref(), Some(Unavailable::Unhealthy { status: 503, .. })), "{error}");
}
