//! Spans of a request, received as a collector receives them: OTLP over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Attribute;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::{Value, json};
use streamgate::envelope::TraceContext;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::net::TcpListener;

use crate::harness::{ask, client, ingress, proxy};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// A span as the tests look at it.
#[derive(Debug, Clone)]
struct Seen {
    service: String,
    name: String,
    kind: SpanKind,
    trace: u128,
    id: u64,
    parent: u64,
    attributes: HashMap<String, String>,
}

/// A collector: what was sent to its `/v1/traces`.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Seen>>>);

impl Collector {
    /// One that runs, and its URL.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let routes = Router::new().route("/otlp/v1/traces", post(take)).with_state(collector.clone());
        (collector, format!("{}/otlp/", serve(routes).await))
    }

    fn spans(&self) -> Vec<Seen> {
        self.0.lock().expect("no test panics here").clone()
    }

    async fn has(&self, count: usize) -> Vec<Seen> {
        eventually_async("the spans arrive", async || self.spans().len() >= count).await;
        self.spans()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let sent = ExportTraceServiceRequest::decode(body).expect("OTLP");
    let text = |value: Option<Attribute>| match value {
        Some(Attribute::StringValue(text)) => text,
        Some(Attribute::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    for of_service in sent.resource_spans {
        let resource = of_service.resource.expect("a resource").attributes;
        let service = resource.into_iter().find(|pair| pair.key == "service.name").expect("a name");
        let service = text(service.value.and_then(|value| value.value));
        let spans = of_service.scope_spans.into_iter().flat_map(|scope| scope.spans).map(|span| Seen {
            service: service.clone(),
            kind: span.kind(),
            name: span.name,
            trace: u128::from_be_bytes(span.trace_id.try_into().expect("16 bytes")),
            id: u64::from_be_bytes(span.span_id.try_into().expect("8 bytes")),
            parent: u64::from_be_bytes(span.parent_span_id.try_into().unwrap_or_default()),
            attributes: span
                .attributes
                .into_iter()
                .map(|pair| (pair.key, text(pair.value.and_then(|value| value.value))))
                .collect(),
        });
        collector.0.lock().expect("no test panics here").extend(spans);
    }
}

/// Where the weather comes from, and the traces it was told of.
async fn weather_service() -> (String, Arc<Mutex<Vec<String>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let note = |told: &Arc<Mutex<Vec<String>>>, headers: &HeaderMap| {
        let trace = headers.get("traceparent").map(|trace| trace.to_str().expect("text").to_owned());
        told.lock().expect("no test panics here").extend(trace);
    };
    let (places, weather) = (Arc::clone(&told), Arc::clone(&told));
    let search = move |headers: HeaderMap| {
        note(&places, &headers);
        async {
            Json(json!({"results": [{"id": 1, "name": "Oslo", "latitude": 59.91, "longitude": 10.75,
                "country_code": "NO", "country": "Norway", "timezone": "Europe/Oslo"}]}))
        }
    };
    let forecast = move |headers: HeaderMap| {
        note(&weather, &headers);
        async {
            let days: Vec<_> = (21..26).map(|day| format!("2026-11-{day}")).collect();
            Json(json!({"utc_offset_seconds": 3600,
                "current": {"time": "2026-11-21T11:15", "temperature_2m": 3.1,
                    "relative_humidity_2m": 81, "wind_speed_10m": 12.6, "weather_code": 3},
                "daily": {"time": days, "weather_code": [3, 61, 0, 71, 45],
                    "temperature_2m_max": ([5.0; 5]), "temperature_2m_min": ([1.0; 5])}}))
        }
    };
    let routes = Router::new().route("/v1/search", get(search)).route("/v1/forecast", get(forecast));
    (serve(routes).await, told)
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
    format!("http://{address}")
}

/// Asks for a forecast as a caller that sends a trace context.
async fn ask_traced(ingress: &crate::harness::Process, traceparent: &str) -> u16 {
    let body = json!({ "city": "Oslo" });
    let request = client().post(ingress.url(0, "/WeatherForecast/city")).json(&body);
    request.header("traceparent", traceparent).send().await.expect("an answer").status().as_u16()
}

/// The field `traceparent` of each entry on the request stream.
fn traces_on_the_stream(server: &RedisServer) -> Vec<Option<String>> {
    let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "weather-requests", "-", "+"]);
    let field = |fields: Vec<String>| {
        let at = fields.iter().step_by(2).position(|name| name == "traceparent")?;
        Some(fields[2 * at + 1].clone())
    };
    entries.into_iter().map(|(_, fields)| field(fields)).collect()
}

fn find<'a>(spans: &'a [Seen], kind: SpanKind, name: &str) -> &'a Seen {
    let found = spans.iter().find(|span| span.kind == kind && span.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {spans:#?}"))
}

#[tokio::test]
async fn one_trace_leads_from_the_caller_to_the_weather_service() {
    let server = RedisServer::start();
    let ((collector, endpoint), (service, told)) = (Collector::start().await, weather_service().await);
    let (search, forecast) = (format!("{service}/v1/search"), format!("{service}/v1/forecast"));
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let upstream = [
        ("WEATHER_PROVIDER", "open-meteo"),
        ("OPEN_METEO_GEOCODING_URL", search.as_str()),
        ("OPEN_METEO_FORECAST_URL", forecast.as_str()),
    ];
    let _proxy = proxy(&server, "w1", &[&traced[..], &upstream].concat()).await;
    let ingress = ingress(&server, &traced).await;

    let status = ask_traced(&ingress, CALLER).await;

    assert_eq!(status, 200);
    // Probes have been asked as well: they have traces of their own.
    eventually_async("five spans arrive", async || {
        let caller = TraceContext::parse(CALLER).expect("valid");
        collector.spans().iter().filter(|span| span.trace == caller.trace_id).count() == 5
    })
    .await;
    let caller = TraceContext::parse(CALLER).expect("valid");
    let spans: Vec<_> = collector.spans().into_iter().filter(|span| span.trace == caller.trace_id).collect();
    let served = find(&spans, SpanKind::Server, "POST /WeatherForecast/city");
    let sent = find(&spans, SpanKind::Producer, "send weather-requests");
    let processed = find(&spans, SpanKind::Consumer, "process weather-requests");
    let asked: Vec<_> = spans.iter().filter(|span| span.kind == SpanKind::Client).collect();
    assert_eq!(
        (served.parent, sent.parent, processed.parent),
        (caller.parent_id, served.id, sent.id),
        "{spans:#?}"
    );
    assert!(asked.len() == 2 && asked.iter().all(|span| span.parent == processed.id), "{spans:#?}");
    assert_eq!((served.service.as_str(), sent.service.as_str()), ("ingress", "ingress"));
    assert_eq!((processed.service.as_str(), asked[0].service.as_str()), ("proxy", "proxy"));
    assert_eq!(served.attributes["http.response.status_code"], "200");
    assert_eq!(sent.attributes["messaging.message.id"], processed.attributes["messaging.message.id"]);
    // What goes on names the span it comes from.
    let sent = TraceContext { parent_id: sent.id, ..caller };
    assert_eq!(traces_on_the_stream(&server), [Some(sent.to_string())]);
    let mut told = told.lock().expect("no test panics here").clone();
    let mut expected: Vec<_> =
        asked.iter().map(|span| TraceContext { parent_id: span.id, ..caller }.to_string()).collect();
    told.sort();
    expected.sort();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn without_a_collector_a_trace_is_passed_on_and_none_is_started() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &[]).await);

    assert_eq!(ask_traced(&ingress, CALLER).await, 200);
    assert_eq!(ask_traced(&ingress, "garbage").await, 200);
    assert_eq!(ask(&client(), &ingress, "Oslo").await.0, 200);

    assert_eq!(traces_on_the_stream(&server), [Some(CALLER.to_owned()), None, None]);
}

#[tokio::test]
async fn the_last_spans_leave_before_the_end_and_unsampled_ones_never() {
    let server = RedisServer::start();
    let (collector, endpoint) = Collector::start().await;
    // Nothing is sent until the end.
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "3600000")];
    let _proxy = proxy(&server, "w1", &[]).await;
    let service = ("OTEL_SERVICE_NAME", "front door");
    let mut ingress = ingress(&server, &[&traced[..], &[service]].concat()).await;
    assert_eq!(ask_traced(&ingress, UNSAMPLED).await, 200);
    assert_eq!(ask_traced(&ingress, CALLER).await, 200);
    assert!(collector.spans().is_empty());

    ingress.signal(Signal::SIGTERM);
    let ended = ingress.exit();

    assert!(ended.success(), "{}", ingress.log());
    let spans = collector.has(2).await;
    let caller = TraceContext::parse(CALLER).expect("valid");
    let unsampled = TraceContext::parse(UNSAMPLED).expect("valid");
    assert_eq!(spans.iter().filter(|span| span.trace == caller.trace_id).count(), 2, "{spans:#?}");
    assert!(spans.iter().all(|span| span.trace != unsampled.trace_id), "{spans:#?}");
    assert!(spans.iter().all(|span| span.service == "front door"), "{spans:#?}");
}

#[tokio::test]
async fn an_absent_collector_costs_no_request_and_the_log_tells() {
    let server = RedisServer::start();
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoint = format!("http://{}", nobody.local_addr().expect("bound"));
    drop(nobody);
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("OTEL_BSP_SCHEDULE_DELAY", "50")];
    let _proxy = proxy(&server, "w1", &traced).await;
    let mut ingress = ingress(&server, &traced).await;

    let (status, forecast): (u16, Value) = ask(&client(), &ingress, "Oslo").await;

    assert_eq!((status, forecast["city"].as_str()), (200, Some("Oslo")));
    eventually_async("the log says so", async || ingress.log().contains("Export")).await;
    ingress.signal(Signal::SIGTERM);
    assert!(ingress.exit().success(), "{}", ingress.log());
}
