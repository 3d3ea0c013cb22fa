//! `/healthz`, `/livez`, `/readyz`: for people, for restarts, for load balancers.
//!
//! Nothing here asks Redis anything: a health answer repeats what the last heartbeat found, so
//! it costs nothing and cannot hang.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use service::http::admin;
use utoipa::ToSchema;

use crate::gateway::Gateway;
use crate::problem::{Failure, retry_after};

/// How the gateway is: 200 with a [`Report`], or 503 with it while something is degraded.
pub async fn report(State(gateway): State<Arc<Gateway>>) -> Response {
    let report = Report::of(&gateway);
    if report.status == "ok" {
        return Json(report).into_response();
    }
    let headers = [(RETRY_AFTER, retry_after(Duration::ZERO))];
    (StatusCode::SERVICE_UNAVAILABLE, headers, Json(report)).into_response()
}

/// 200 as long as the runtime runs its tasks, whatever its dependencies do.
pub async fn live(State(gateway): State<Arc<Gateway>>) -> (StatusCode, &'static str) {
    admin::live(State(gateway.liveness.clone())).await
}

/// 200, or why the process should not get traffic now.
///
/// # Errors
/// A part is not ready.
pub async fn ready(State(gateway): State<Arc<Gateway>>) -> Result<&'static str, Failure> {
    match gateway.readiness.missing() {
        missing if missing.is_empty() => Ok("ready\n"),
        missing => Err(Failure::not_ready(&missing)),
    }
}

/// How the gateway is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `ok`, or `degraded` while Redis does not answer, its circuit is open, or no worker has been
    /// alive for longer than CONSUMER_GRACE.
    #[schema(example = "ok")]
    pub status: &'static str,
    /// Which process this is.
    #[schema(example = "ingress")]
    pub service: &'static str,
    /// Its version.
    #[schema(example = "0.1.0")]
    pub version: &'static str,
    /// How Redis is, as this process sees it.
    pub redis: RedisReport,
    /// Workers alive; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 3)]
    pub workers_alive: Option<usize>,
    /// Callers that wait for a reply.
    #[schema(example = 12)]
    pub pending_requests: usize,
    /// Parts that are not ready; empty when `/readyz` says so.
    #[schema(example = json!([]))]
    pub not_ready: Vec<&'static str>,
}

/// How Redis is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RedisReport {
    /// Round trip of the last heartbeat in milliseconds; absent while Redis does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 0.21)]
    pub round_trip_ms: Option<f64>,
    /// State of the circuit breaker: `closed`, `half-open` or `open`.
    #[schema(example = "closed")]
    pub circuit: &'static str,
}

impl Report {
    fn of(gateway: &Gateway) -> Self {
        let (round_trip, circuit) = (gateway.redis.round_trip(), gateway.redis.circuit().state().as_str());
        let ok = round_trip.is_some() && circuit != "open" && !gateway.requester.workers_are_absent();
        Self {
            status: if ok { "ok" } else { "degraded" },
            service: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            redis: RedisReport {
                round_trip_ms: round_trip.map(|span| span.as_micros() as f64 / 1e3),
                circuit,
            },
            workers_alive: gateway.requester.workers_alive(),
            pending_requests: gateway.requester.pending(),
            not_ready: gateway.readiness.missing(),
        }
    }
}
