//! Whether the service works: for people, for load balancers and for restarts.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use streamgate::telemetry::Latch;
use utoipa::ToSchema;

use super::App;
use super::failure::Failure;
use crate::store::Store;

/// How often the database is asked.
const PERIOD: Duration = Duration::from_secs(1);

/// The state of the service.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "status": "ok", "service": "events", "version": "0.1.0", "database": "up", "redis": "up",
    "relaying": true, "outbox": 0, "authentication": true,
}))]
pub(super) struct Health {
    /// `ok`, or `degraded` if the database or Redis cannot be used.
    status: &'static str,
    /// The name of the service.
    service: &'static str,
    /// Its version.
    version: &'static str,
    /// `up`, or `down`: then nothing can be stored.
    database: &'static str,
    /// `up`, or `down`: then events are stored, and published later.
    redis: &'static str,
    /// True if this process appends the events of the outbox; one process does.
    relaying: bool,
    /// Events in the outbox at the last look, at most two seconds ago.
    outbox: i64,
    /// Whether callers need a token.
    authentication: bool,
}

/// Shows the state of the service
#[utoipa::path(get, path = "/health", tag = "health", operation_id = "health",
    responses(
        (status = 200, description = "Everything works.", body = Health),
        (status = 503, description = "The database or Redis cannot be used.", body = Health, example = json!({
            "status": "degraded", "service": "events", "version": "0.1.0", "database": "up", "redis": "down",
            "relaying": true, "outbox": 3, "authentication": true,
        })),
    ))]
pub(super) async fn health(State(app): State<App>) -> (StatusCode, Json<Health>) {
    let database = is_up(&app.store).await;
    // Of the last heartbeat, at most a second ago.
    let redis = app.redis.round_trip().is_some();
    let word = |up: bool| if up { "up" } else { "down" };
    let good = database && redis;
    let health = Health {
        status: if good { "ok" } else { "degraded" },
        service: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
        database: word(database),
        redis: word(redis),
        relaying: app.relay.is_leading(),
        outbox: app.relay.waiting(),
        authentication: app.auth.is_some(),
    };
    (if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// Tells whether the process should get requests
///
/// It needs its database. Without Redis it takes requests, too: their events are published later.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "ready",
    responses((status = 200, description = "It should.", body = String, content_type = "text/plain", example = "ready\n")))]
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Failure> {
    match app.readiness.missing() {
        missing if missing.is_empty() => Ok("ready\n"),
        missing => Err(Failure::new(503, format!("not ready: {}", missing.join(", ")))),
    }
}

/// Tells whether the process runs
#[utoipa::path(get, path = "/livez", tag = "health", operation_id = "live",
    responses((status = 200, description = "It runs.", body = String, content_type = "text/plain", example = "ok\n")))]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// The metrics in the Prometheus text format
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, description = "The metrics.", body = String, content_type = "text/plain", example = "events_outbox 0\n")))]
pub(super) async fn metrics(State(app): State<App>) -> Response {
    let content_type = (axum::http::header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
    ([content_type], app.scrapes.render()).into_response()
}

async fn is_up(store: &Store) -> bool {
    matches!(tokio::time::timeout(2 * PERIOD, store.ping()).await, Ok(Ok(())))
}

/// Sets `usable` as long as the database can be used.
pub(super) async fn watch(store: Store, usable: Latch) {
    loop {
        usable.set(is_up(&store).await);
        tokio::time::sleep(PERIOD).await;
    }
}
