use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Operations;
use crate::config::ProviderName;
use crate::weather::UpstreamCircuits;

/// How the worker is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// `ok`, or `degraded` while a part is not ready or the circuit to the weather service is open.
    #[schema(example = "ok")]
    status: &'static str,
    /// Which process this is.
    #[schema(example = "proxy")]
    service: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Its name in the consumer group.
    #[schema(example = "weather-worker-1")]
    worker: String,
    /// Where its forecasts come from.
    #[schema(example = "simulated")]
    provider: &'static str,
    /// Redis, as this process sees it.
    redis: RedisReport,
    /// The weather service, as this process sees it; absent for a provider that asks nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    upstream: Option<UpstreamReport>,
    /// Parts that are not ready; empty when `/readyz` says so.
    #[schema(example = json!([]))]
    not_ready: Vec<&'static str>,
}

/// How Redis is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RedisReport {
    /// Round trip of the last heartbeat in milliseconds; absent while Redis does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.21)]
    round_trip_ms: Option<f64>,
    /// State of the circuit breaker: `closed`, `half-open` or `open`.
    #[schema(example = "closed")]
    circuit: &'static str,
}

/// How the weather service is, by endpoint: `closed`, `half-open` (the next request finds out) or
/// `open` (requests are answered 503 without asking it).
#[derive(Debug, Serialize, ToSchema)]
struct UpstreamReport {
    /// Finding places by name.
    #[schema(example = "closed")]
    geocoding: &'static str,
    /// The weather at a place.
    #[schema(example = "closed")]
    forecast: &'static str,
}

/// How the worker is
///
/// 200, or 503 while a part is not ready. It repeats what the last heartbeat
/// found and asks Redis nothing, so it cannot hang. An open circuit to the weather service degrades
/// the worker but does not stop it: the answer stays 200, because another worker would fare no
/// better.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "Everything works, or the weather service alone does not (`degraded`).", body = Report),
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
    let ok = ready && !upstream.is_some_and(UpstreamCircuits::any_open);
    let report = Report {
        status: if ok { "ok" } else { "degraded" },
        service: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        worker: operations.group.consumer().to_owned(),
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
        not_ready,
    };
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(report))
}
