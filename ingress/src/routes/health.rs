//! `/healthz`, `/livez`, `/readyz`: for people, for restarts, for load balancers.
//!
//! Nothing here asks Redis anything: a health answer repeats what the last heartbeat found, so
//! it costs nothing and cannot hang.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use streamgate::telemetry::Readiness;
use utoipa::ToSchema;

use crate::problem::{Failure, retry_after};
use crate::upstream::Upstream;

/// Answers the health routes. Clones share everything.
#[derive(Clone)]
pub struct Health<U> {
    upstream: U,
    readiness: Readiness,
}

/// How the gateway is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `ok`, or `degraded` while Redis does not answer or its circuit is open.
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
    /// Callers that wait for a reply.
    #[schema(example = 12)]
    pub pending_requests: usize,
    /// Parts that are not ready; empty when `/readyz` says so.
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

impl<U: Upstream> Health<U> {
    /// The health of `upstream` and of the parts that hold a latch.
    pub fn new(upstream: U, readiness: Readiness) -> Self {
        Self { upstream, readiness }
    }

    /// How the gateway is.
    pub fn report(&self) -> Report {
        let vitals = self.upstream.vitals();
        let ok = vitals.round_trip.is_some() && vitals.circuit != "open";
        Report {
            status: if ok { "ok" } else { "degraded" },
            service: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            redis: RedisReport {
                round_trip_ms: vitals.round_trip.map(|span| span.as_micros() as f64 / 1e3),
                circuit: vitals.circuit,
            },
            pending_requests: vitals.pending,
            not_ready: self.readiness.missing(),
        }
    }

    /// 200 as long as the process answers, whatever its dependencies do.
    pub fn live(&self) -> Response<Full<Bytes>> {
        text("ok\n")
    }

    /// 200, or why the process should not get traffic now.
    ///
    /// # Errors
    /// A part is not ready.
    pub fn ready(&self) -> Result<Response<Full<Bytes>>, Failure> {
        match self.readiness.missing() {
            missing if missing.is_empty() => Ok(text("ready\n")),
            missing => Err(Failure::not_ready(&missing)),
        }
    }
}

impl Report {
    /// 200 with the report, or 503 with it while something is degraded.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Full::from(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status != "ok" {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response.headers_mut().insert(RETRY_AFTER, retry_after(std::time::Duration::ZERO));
        }
        response
    }
}

fn text(body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
