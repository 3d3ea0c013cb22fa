use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{BERLIN, FORECAST, Ingress, REQUESTS, Worker, create_group, send, stored};

type Entries = Vec<(String, Vec<(String, String)>)>;

#[tokio::test]
async fn a_byte_order_mark_does_not_reach_the_worker() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let answer = ingress.forecast("\u{feff}{\"city\":\"Berlin\"}").await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["request"]["city"], "Berlin", "{answer:?}");
    let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REQUESTS, "-", "+"]);
    assert!(entries[0].1.contains(&r#"{"city":"Berlin"}"#.to_owned()), "{entries:?}");
}

#[tokio::test]
async fn a_request_travels_to_a_worker_and_back() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let answer = ingress.forecast(BERLIN).await;

    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let body = answer.json();
    assert_eq!(body["requestId"].as_str(), answer.header("x-request-id"));
    assert_eq!(body["request"], json!({"city": "Berlin"}), "sent in normal form");
    let timing = answer.header("server-timing").expect("server-timing");
    let names: Vec<_> = timing.split(", ").filter_map(|part| part.split(";dur=").next()).collect();
    assert_eq!(names, ["queue", "work", "reply"], "{timing}");
}

#[tokio::test]
async fn an_entry_has_the_trace_of_the_caller_but_not_its_id() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let request = ingress
        .request(Method::POST, FORECAST)
        .header(CONTENT_TYPE, "application/json")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-request-id", "chosen-by-the-caller");
    let answer = send(request.body(BERLIN)).await;

    let entries: Entries = server.command(&["XRANGE", REQUESTS, "-", "+"]);
    assert_eq!(entries.len(), 1);
    let field = |name: &str| entries[0].1.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    // Tracing is off here, so the entry has the span of the caller.
    assert_eq!(field("traceparent"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!(field("id"), answer.header("x-request-id"));
    assert_eq!(field("body"), Some(r#"{"city":"Berlin"}"#));
    assert_eq!(field("content_type"), None, "JSON is the default content type");
}

#[tokio::test]
async fn without_a_worker_a_caller_gets_504_at_the_deadline() {
    let server = RedisServer::start();
    create_group(&server);
    let ingress = Ingress::ready(&server, &["--request-timeout", "100ms"]).await;

    let answer = ingress.forecast(BERLIN).await;

    answer.assert_problem(504);
    assert_eq!(answer.header("retry-after"), None);
    assert_eq!(stored(&server), 1);
    assert_eq!(ingress.pending().await, 0);
}

#[tokio::test]
async fn a_caller_over_max_in_flight_gets_503_with_retry_after() {
    let server = RedisServer::start();
    let worker = Worker::holding(&server).await;
    let ingress = Ingress::ready(&server, &["--max-in-flight", "1"]).await;
    let first = ingress.spawn_forecast();
    eventually_async("one caller waits", || async { ingress.pending().await == 1 }).await;

    let refused = ingress.forecast(BERLIN).await;
    worker.release();

    refused.assert_unavailable();
    assert_eq!(first.await.expect("joins").status, 200);
    assert_eq!(stored(&server), 1);
}

#[tokio::test]
async fn the_retry_after_of_a_worker_reaches_the_caller() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let answer = ingress.forecast(r#"{"city":"Busy"}"#).await;

    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("7")), "{answer:?}");
}
