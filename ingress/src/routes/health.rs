//! `/healthz` for people, `/livez` for restarts, `/readyz` for load balancers.
//!
//! These routes send nothing to Redis. They answer with the result of the last heartbeat, so they cost
//! little and cannot hang.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::http::admin;
use streamgate::requester::Destination;
use utoipa::ToSchema;

use crate::gateway::Gateway;
use crate::problem::{Failure, retry_after};

/// Answers with a [`Report`]: 200 if all is well, 503 while the gateway is degraded.
pub async fn report(State(gateway): State<Arc<Gateway>>) -> Response {
    let report = Report::of(&gateway);
    if report.status == "ok" {
        return Json(report).into_response();
    }
    let headers = [(RETRY_AFTER, retry_after(Duration::ZERO))];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(report)).into_response()
}

/// Answers 200 while the main runtime runs its tasks, also without Redis, else 503.
pub async fn live(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    admin::live(State(gateway.liveness.clone())).await
}

/// Answers 200 with the version of the routes in force, or 503 with the names of the parts that are not ready.
///
/// # Errors
/// A part is not ready.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Result<String, Failure> {
    match gateway.readiness.missing() {
        missing if missing.is_empty() => Ok(match gateway.serving.version() {
            Some(version) => format!("ready\nroutes {version}\n"),
            None => "ready\n".to_owned(),
        }),
        missing => Err(Failure::not_ready(&missing)),
    }
}

/// The state of the gateway.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `ok`, or `degraded` while Redis does not respond, while its circuit is open, or after there was
    /// no live worker for longer than CONSUMER_GRACE.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// The name of the process.
    #[schema(example = "ingress")]
    pub service: &'static str,
    /// The version of the process.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// The state of Redis, as this process sees it.
    pub redis: RedisReport,
    /// The number of workers alive on the stream that has most; absent while it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub workers_alive: Option<usize>,
    /// The number of callers that wait for a reply.
    #[schema(example = 12)]
    pub pending_requests: usize,
    /// The version of the routes in force, a hash of the routes file; absent without a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "3f9a1c07be52")]
    pub routes: Option<String>,
    /// The parts that are not ready; empty if `/readyz` answers 200.
    #[schema(example = json!([]))]
    pub not_ready: Vec<&'static str>,
}

/// The state of Redis.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisReport {
    /// The round trip time of the last heartbeat in milliseconds; absent while Redis does not respond.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.21)]
    pub round_trip_ms: Option<f64>,
    /// The state of the circuit breaker: `closed`, `half-open` or `open`.
    #[schema(example = "closed")]
    pub circuit: &'static str,
}

impl Report {
    fn of(gateway: &Gateway) -> Self {
        let (round_trip, circuit) = (gateway.redis.round_trip(), gateway.redis.circuit().state().as_str());
        let served = gateway.serving.current();
        let streams = served.destinations();
        // While one stream has workers, its routes are served.
        let absent = !streams.is_empty() && streams.iter().all(Destination::workers_are_absent);
        let ok = round_trip.is_some() && circuit != "open" && !absent;
        Self {
            status: if ok { "ok" } else { "degraded" },
            service: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            redis: RedisReport {
                round_trip_ms: round_trip.map(|time| time.as_micros() as f64 / 1e3),
                circuit,
            },
            workers_alive: streams.iter().filter_map(Destination::workers_alive).max(),
            pending_requests: gateway.serving.requester().pending(),
            routes: gateway.serving.version(),
            not_ready: gateway.readiness.missing(),
        }
    }
}
