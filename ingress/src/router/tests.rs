//! The router in front of an engine that answers from memory.

use std::collections::HashSet;
use std::sync::Mutex;

use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use metrics_exporter_prometheus::PrometheusHandle;
use streamgate::envelope::Reply;
use streamgate::request_reply::{Answer, Call, RequestError, RequestErrorKind, Timing};
use streamgate::telemetry::metrics::prometheus_recorder;
use streamgate::telemetry::{Latch, Readiness};

use super::*;
use crate::upstream::Vitals;

/// What the engine does with the next request.
#[derive(Clone, Copy)]
enum Next {
    Reply(u16, &'static str),
    Fail(RequestErrorKind),
    Panic,
    Never,
}

#[derive(Clone)]
struct FakeEngine {
    next: Next,
    reachable: bool,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Upstream for FakeEngine {
    async fn request(&self, call: Call) -> Result<Answer, RequestError> {
        let id = call.id;
        self.calls.lock().expect("not poisoned").push(call);
        match self.next {
            Next::Reply(status, body) => Ok(Answer {
                reply: Reply {
                    id,
                    status,
                    content_type: "application/vnd.weather+json".into(),
                    body: Bytes::from_static(body.as_bytes()),
                    worker: "w-1".into(),
                    attempt: 1,
                    work: Duration::ZERO,
                },
                timing: Timing {
                    queue: Duration::from_millis(1),
                    work: Duration::from_millis(2),
                    reply: Duration::from_millis(3),
                },
            }),
            Next::Fail(kind) => Err(RequestError { kind, retry_after: None }),
            Next::Panic => panic!("the engine broke"),
            Next::Never => std::future::pending().await,
        }
    }

    fn vitals(&self) -> Vitals {
        let round_trip = self.reachable.then_some(Duration::from_micros(210));
        Vitals { round_trip, circuit: "closed", pending: 3 }
    }
}

struct Harness {
    router: Router<FakeEngine>,
    calls: Arc<Mutex<Vec<Call>>>,
    metrics: PrometheusHandle,
    part: Latch,
}

fn harness(next: Next) -> Harness {
    harness_with(next, true)
}

fn harness_with(next: Next, reachable: bool) -> Harness {
    let recorder = prometheus_recorder().expect("valid buckets");
    let metrics = recorder.handle();
    let calls = Arc::default();
    let engine = FakeEngine { next, reachable, calls: Arc::clone(&calls) };
    let readiness = Readiness::default();
    let part = readiness.latch("redis");
    part.set(true);
    let limits = Limits {
        body: BodyLimits { size: 64, time: Duration::from_secs(1) },
        timeout: Duration::from_secs(5),
    };
    let health = Health::new(engine.clone(), readiness);
    let router = Router::new(engine, health, limits, HttpMetrics::declare(Arc::new(recorder)));
    Harness { router, calls, metrics, part }
}

fn request(method: &str, path: &str) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).body(Full::default()).expect("valid")
}

fn forecast(body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/WeatherForecast/city")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(body))
        .expect("valid")
}

const CITY: &str = r#"{ "city" : "Berlin" }"#;

async fn text(response: Response<Full<Bytes>>) -> String {
    let bytes = response.into_body().collect().await.expect("in memory").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

async fn json(response: Response<Full<Bytes>>) -> serde_json::Value {
    serde_json::from_str(&text(response).await).expect("JSON")
}

#[tokio::test]
async fn a_reply_passes_through_unread() {
    let harness = harness(Next::Reply(201, "not even json"));

    let response = harness.router.answer(forecast(CITY)).await;

    assert_eq!(response.status(), 201);
    assert_eq!(response.headers()[CONTENT_TYPE], "application/vnd.weather+json");
    let timing = "queue;dur=1.000, work;dur=2.000, reply;dur=3.000";
    assert_eq!(response.headers()["server-timing"], timing);
    assert_eq!(text(response).await, "not even json");
}

#[tokio::test]
async fn a_request_is_sent_normalised_with_the_id_its_caller_sees() {
    let harness = harness(Next::Reply(200, "{}"));
    let mut request = forecast(CITY);
    request.headers_mut().insert(X_REQUEST_ID, HeaderValue::from_static("chosen-by-the-caller"));

    let response = harness.router.answer(request).await;

    let calls = harness.calls.lock().expect("not poisoned");
    assert_eq!(response.headers()[X_REQUEST_ID], calls[0].id.to_string());
    let body: serde_json::Value = serde_json::from_slice(&calls[0].body).expect("JSON");
    assert_eq!(body["city"], "Berlin");
    assert_eq!(calls[0].content_type, "application/json");
    assert_eq!(calls[0].timeout, Duration::from_secs(5));
    assert!(calls[0].trace.is_some());
}

#[tokio::test]
async fn a_refused_request_has_no_effect() {
    for (body, content_type, status) in [
        ("{", "application/json", 400),
        (
            "{\"city\":\"a city whose name is longer than the sixty-four bytes accepted\"}",
            "application/json",
            413,
        ),
        (CITY, "text/plain", 415),
        ("{\"city\":\"\"}", "application/json", 422),
        ("{\"town\":\"Berlin\"}", "application/json", 422),
    ] {
        let harness = harness(Next::Reply(200, "{}"));
        let mut request = forecast(body);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));

        let response = harness.router.answer(request).await;

        assert_eq!(response.status(), status, "{body}");
        let id = response.headers()[X_REQUEST_ID].to_str().expect("text").to_owned();
        assert_eq!(json(response).await["requestId"], id, "{body}");
        assert!(harness.calls.lock().expect("not poisoned").is_empty(), "{body} was sent");
    }
}

#[tokio::test]
async fn every_answer_carries_an_id_of_its_own() {
    let harness = harness(Next::Reply(200, "{}"));
    let mut seen = HashSet::new();

    for (method, path, status) in [
        ("GET", "/", 307),
        ("GET", "/healthz", 200),
        ("GET", "/livez", 200),
        ("GET", "/readyz", 200),
        ("GET", "/swagger", 307),
        ("GET", "/swagger/", 200),
        ("GET", "/swagger/nothing", 404),
        ("GET", "/api-docs/openapi.json", 200),
        ("GET", "/nothing", 404),
        ("GET", "/WeatherForecast/city", 405),
        ("DELETE", "/healthz", 405),
    ] {
        let response = harness.router.answer(request(method, path)).await;

        assert_eq!(response.status(), status, "{method} {path}");
        let id = response.headers()[X_REQUEST_ID].to_str().expect("text").to_owned();
        assert!(id.parse::<CorrelationId>().is_ok(), "{method} {path}: {id}");
        assert!(seen.insert(id), "{method} {path} has the id of another answer");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let harness = harness(Next::Reply(200, "{}"));

    let forecast = harness.router.answer(request("GET", "/WeatherForecast/city")).await;
    let health = harness.router.answer(request("POST", "/healthz")).await;

    assert_eq!(forecast.headers()[ALLOW], "POST");
    assert_eq!(health.headers()[ALLOW], "GET, HEAD");
}

#[tokio::test]
async fn a_panic_is_a_500_and_the_next_request_is_answered() {
    let harness = harness(Next::Panic);

    let response = harness.router.answer(forecast(CITY)).await;

    assert_eq!(response.status(), 500);
    assert_eq!(json(response).await["title"], "Internal Server Error");
    assert_eq!(harness.router.answer(request("GET", "/livez")).await.status(), 200);
}

#[tokio::test]
async fn a_failing_engine_and_a_worker_that_sheds_say_when_to_come_back() {
    for (next, status) in [
        (Next::Fail(RequestErrorKind::Overloaded), 503),
        (Next::Fail(RequestErrorKind::Unavailable), 503),
        (Next::Fail(RequestErrorKind::Draining), 503),
        (Next::Reply(503, "{}"), 503),
        (Next::Reply(429, "{}"), 429),
    ] {
        let response = harness(next).router.answer(forecast(CITY)).await;

        assert_eq!(response.status(), status);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
    let late = harness(Next::Fail(RequestErrorKind::DeadlinePassed)).router.answer(forecast(CITY)).await;
    assert_eq!(late.status(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn health_is_503_without_redis_and_liveness_is_not() {
    let harness = harness_with(Next::Reply(200, "{}"), false);
    harness.part.set(false);

    let health = harness.router.answer(request("GET", "/healthz")).await;
    let ready = harness.router.answer(request("GET", "/readyz")).await;
    let live = harness.router.answer(request("GET", "/livez")).await;

    assert_eq!((health.status().as_u16(), ready.status().as_u16(), live.status().as_u16()), (503, 503, 200));
    assert!(health.headers().contains_key(RETRY_AFTER));
    let report = json(health).await;
    assert_eq!(report["status"], "degraded");
    assert_eq!(report["pendingRequests"], 3);
    assert_eq!(report["notReady"], serde_json::json!(["redis"]));
    assert_eq!(json(ready).await["detail"], "not ready: redis");
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let harness = harness(Next::Reply(200, "{}"));

    let response = harness.router.answer(request("HEAD", "/livez")).await;

    assert_eq!(response.headers()[CONTENT_LENGTH], "3");
    assert_eq!(text(response).await, "");
}

#[tokio::test]
async fn answers_are_counted_by_route_and_status_and_paths_nobody_knows_as_one() {
    let harness = harness(Next::Reply(200, "{}"));

    for path in ["/nothing", "/nowhere", "/livez"] {
        harness.router.answer(request("GET", path)).await;
    }

    let scrape = harness.metrics.render();
    assert!(scrape.contains(r#"http_requests_total{route="unmatched",status="404"} 2"#), "{scrape}");
    assert!(scrape.contains(r#"http_requests_total{route="/livez",status="200"} 1"#), "{scrape}");
    let histogram = r#"http_request_duration_seconds_count{route="/livez",status="200"} 1"#;
    assert!(scrape.contains(histogram), "{scrape}");
    assert!(!scrape.contains("nowhere"), "{scrape}");
}

#[tokio::test]
async fn a_caller_that_leaves_is_counted_as_such() {
    let harness = harness(Next::Never);

    let answer = tokio::time::timeout(Duration::from_millis(10), harness.router.answer(forecast(CITY))).await;

    assert!(answer.is_err());
    let scrape = harness.metrics.render();
    assert!(scrape.contains("http_requests_abandoned_total 1"), "{scrape}");
    assert!(!scrape.contains("http_requests_total{"), "{scrape}");
}
