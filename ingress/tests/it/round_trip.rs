use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{BERLIN, FORECAST, Ingress, REQUESTS, Worker, hear, stored, workers_were_here};

type Entries = Vec<(String, Vec<(String, String)>)>;

#[tokio::test]
async fn a_byte_order_mark_does_not_reach_the_worker() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let heard = ingress.forecast("\u{feff}{\"city\":\"Berlin\"}").await;

    assert_eq!(heard.status, 200, "{heard:?}");
    assert_eq!(heard.json()["request"]["city"], "Berlin", "{heard:?}");
    let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REQUESTS, "-", "+"]);
    assert!(entries[0].1.contains(&r#"{"city":"Berlin"}"#.to_owned()), "{entries:?}");
}

#[tokio::test]
async fn a_request_travels_to_a_worker_and_back() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let heard = ingress.forecast(BERLIN).await;

    assert_eq!(heard.status, 200, "{heard:?}");
    assert_eq!(heard.header("content-type"), Some("application/json"));
    let body = heard.json();
    assert_eq!(body["requestId"].as_str(), heard.header("x-request-id"));
    assert_eq!(body["request"], json!({"city": "Berlin"}), "sent normalised");
    let timing = heard.header("server-timing").expect("server-timing");
    let names: Vec<_> = timing.split(", ").filter_map(|part| part.split(";dur=").next()).collect();
    assert_eq!(names, ["queue", "work", "reply"], "{timing}");
}

#[tokio::test]
async fn a_callers_trace_goes_on_on_the_stream_and_its_id_does_not() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let request = ingress
        .request(Method::POST, FORECAST)
        .header(CONTENT_TYPE, "application/json")
        .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .header("x-request-id", "chosen-by-the-caller");
    let heard = hear(request.body(BERLIN)).await;

    let entries: Entries = server.command(&["XRANGE", REQUESTS, "-", "+"]);
    assert_eq!(entries.len(), 1);
    let field = |name: &str| entries[0].1.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    // Nothing is traced here, so there is no span in between.
    assert_eq!(field("traceparent"), Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
    assert_eq!(field("id"), heard.header("x-request-id"));
    assert_eq!(field("body"), Some(r#"{"city":"Berlin"}"#));
    assert_eq!(field("content_type"), None, "JSON goes without saying");
}

#[tokio::test]
async fn without_a_worker_the_deadline_ends_the_waiting() {
    let server = RedisServer::start();
    workers_were_here(&server);
    let ingress = Ingress::ready(&server, &["--request-timeout", "100ms"]).await;

    let heard = ingress.forecast(BERLIN).await;

    heard.assert_problem(504);
    assert_eq!(heard.header("retry-after"), None);
    assert_eq!(stored(&server), 1);
    assert_eq!(ingress.pending().await, 0);
}

#[tokio::test]
async fn at_max_in_flight_the_next_caller_is_told_to_come_back() {
    let server = RedisServer::start();
    let worker = Worker::holding(&server).await;
    let ingress = Ingress::ready(&server, &["--max-in-flight", "1"]).await;
    let first = ingress.spawn_forecast();
    eventually_async("one waits", || async { ingress.pending().await == 1 }).await;

    let refused = ingress.forecast(BERLIN).await;
    worker.let_go();

    refused.assert_unavailable();
    assert_eq!(first.await.expect("joins").status, 200);
    assert_eq!(stored(&server), 1);
}

#[tokio::test]
async fn a_worker_that_says_when_to_come_back_is_passed_on() {
    let server = RedisServer::start();
    let _worker = Worker::start(&server).await;
    let ingress = Ingress::ready(&server, &[]).await;

    let heard = ingress.forecast(r#"{"city":"Busy"}"#).await;

    assert_eq!((heard.status, heard.header("retry-after")), (503, Some("7")), "{heard:?}");
}
