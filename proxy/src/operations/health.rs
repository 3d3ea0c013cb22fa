use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use streamgate::resilience::BreakerState;
use utoipa::ToSchema;

use super::Operations;
use crate::config::ProviderName;
use crate::weather::UpstreamCircuits;

/// The health of a worker.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// `ok`, or `degraded` while a part is not ready or the circuit to the weather service or an upstream is open.
    #[schema(example = "ok")]
    status: &'static str,
    /// The name of the process.
    #[schema(example = "proxy")]
    service: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Its name in the consumer group.
    #[schema(example = "weather-worker-1")]
    worker: String,
    /// The source of its forecasts.
    #[schema(example = "simulated")]
    provider: &'static str,
    /// Redis, as this process sees it.
    redis: RedisReport,
    /// The weather service, as this process sees it; absent if the provider calls no service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    upstream: Option<UpstreamReport>,
    /// The circuit of each upstream of the routes file: `closed`, `half-open` or `open` (its streams take no
    /// entries); absent without upstreams.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false, value_type = BTreeMap<String, String>)]
    upstreams: BTreeMap<String, &'static str>,
    /// The version of the routes in force; absent without a routes file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "8d969eef6eca")]
    routes_version: Option<String>,
    /// The parts that are not ready; empty if `/readyz` answers 200.
    #[schema(example = json!([]))]
    not_ready: Vec<&'static str>,
}

/// The health of Redis.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RedisReport {
    /// Round trip time of the last heartbeat in milliseconds; absent while Redis does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.21)]
    round_trip_ms: Option<f64>,
    /// State of the circuit breaker: `closed`, `half-open` or `open`.
    #[schema(example = "closed")]
    circuit: &'static str,
}

/// The circuit of each endpoint of the weather service: `closed`, `half-open` (the next request tests the
/// endpoint) or `open` (the worker replies 503 without calling the endpoint).
#[derive(Debug, Serialize, ToSchema)]
struct UpstreamReport {
    /// The endpoint that finds places by name.
    #[schema(example = "closed")]
    geocoding: &'static str,
    /// The endpoint of the weather at a place.
    #[schema(example = "closed")]
    forecast: &'static str,
}

/// Reports the health of the worker
///
/// Answers 200, or 503 while a part is not ready. The report shows the result of the last heartbeat and
/// sends no command to Redis, so it cannot hang. While a circuit to the weather service is open, the
/// status is `degraded` and the answer stays 200, because another worker would have the same problem.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "Every part is ready. If only the weather service fails, the status is `degraded`.", body = Report),
        (status = 503, description = "A part is not ready.", body = Report, example = json!({
            "status": "degraded", "service": "proxy", "version": "0.1.0", "worker": "weather-worker-1",
            "provider": "simulated", "redis": {"circuit": "open"}, "notReady": ["redis"],
        })),
    )
)]
pub(super) async fn health(State(operations): State<Operations>) -> (StatusCode, Json<Report>) {
    let not_ready = operations.readiness.missing();
    let ready = not_ready.is_empty();
    let upstream = operations.upstream.as_ref();
    let upstreams: BTreeMap<String, &'static str> = operations
        .served
        .upstreams()
        .iter()
        .map(|upstream| (upstream.config.name.clone(), upstream.breaker.state().as_str()))
        .collect();
    let any_open = upstream.is_some_and(UpstreamCircuits::any_open)
        || upstreams.values().any(|state| *state == BreakerState::Open.as_str());
    let ok = ready && !any_open;
    let report = Report {
        status: if ok { "ok" } else { "degraded" },
        service: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        worker: match operations.served.queues().first() {
            Some(queue) => queue.group.consumer().to_owned(),
            None => operations.worker.clone(),
        },
        provider: match operations.provider {
            ProviderName::Simulated => "simulated",
            ProviderName::OpenMeteo => "open-meteo",
        },
        redis: RedisReport {
            round_trip_ms: operations.redis.round_trip().map(|span| span.as_micros() as f64 / 1_000.0),
            circuit: operations.redis.circuit().state().as_str(),
        },
        upstream: upstream.map(|circuits| UpstreamReport {
            geocoding: circuits.geocoding().as_str(),
            forecast: circuits.forecast().as_str(),
        }),
        upstreams,
        routes_version: operations.served.version(),
        not_ready,
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}

/// Whether the process is alive
///
/// Answers also while Redis is away. Restart the process if this fails.
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    responses(
        (status = 200, description = "The process runs its tasks.", body = String, content_type = "text/plain", example = "ok\n"),
        (status = 503, description = "The process has run no task for about 5 s.", body = String, content_type = "text/plain",
            example = "not alive: the main runtime runs no tasks\n"),
    )
)]
#[allow(dead_code)] // only its description is used; `service::http::admin` answers
pub(super) fn live() {}

/// Whether the process should get work
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Every part is ready.", body = String, content_type = "text/plain", example = "ready\n"),
        (status = 503, description = "A part is not ready.", body = String, content_type = "text/plain", example = "not ready: redis\n"),
    )
)]
#[allow(dead_code)] // only its description is used; `service::http::admin` answers
pub(super) fn ready() {}
