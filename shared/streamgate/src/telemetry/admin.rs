//! The routes of an admin listener: `/metrics`, `/livez`, `/readyz`.
//!
//! Serve them on a thread of their own, so that a probe never queues behind the hot path.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;

use super::Readiness;

/// `/metrics` in the Prometheus text format, and the health routes of [`health`].
pub fn routes(metrics: PrometheusHandle, readiness: Readiness) -> Router {
    let scrape = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    Router::new().route("/metrics", get(scrape)).merge(health(readiness))
}

/// `/livez`: 200 as long as the process answers, whatever its dependencies do. `/readyz`: 200,
/// or 503 with the parts that are missing.
pub fn health(readiness: Readiness) -> Router {
    Router::new().route("/livez", get(|| async { "ok\n" })).route("/readyz", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
    }
}
