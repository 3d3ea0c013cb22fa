//! The paths and schemas of the API, for the macros of utoipa.
//!
//! The functions have no body. They only carry the macros: the signatures of the real handlers do not
//! show the request body and the answers.

#![allow(dead_code, reason = "only utoipa's macros read these types and functions")]

use utoipa::{OpenApi, ToSchema};
use weather::{Forecast, WeatherRequest};

use crate::routes::health::Report;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamgate ingress",
        description = "HTTP requests, answered by workers behind a Redis stream. The weather forecast is the example service. Forecasts with the `source` `open-meteo` use weather data by [Open-Meteo.com](https://open-meteo.com/) (CC BY 4.0).",
    ),
    paths(forecast, health, live, ready),
    components(schemas(Problem, FieldError)),
    tags(
        (name = "weather", description = "Requests that workers answer"),
        (name = "health", description = "The state of the gateway"),
    )
)]
pub(super) struct Api;

/// An error, as RFC 9457 describes it.
#[derive(ToSchema)]
struct Problem {
    /// The name of the status.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, and what the caller can do.
    detail: String,
    /// The correlation id of the request, as in x-request-id.
    #[schema(rename = "requestId", format = "uuid")]
    request_id: Option<String>,
    /// All values that break a rule.
    errors: Option<Vec<FieldError>>,
}

/// A value that breaks a rule. It has a `field` or a `pointer`.
#[derive(ToSchema)]
struct FieldError {
    /// The name of the field in the request body.
    #[schema(example = "city")]
    field: Option<String>,
    /// The place in the request body, a JSON Pointer (RFC 6901).
    pointer: Option<String>,
    /// The rule that the value breaks.
    #[schema(example = "must not be empty")]
    detail: String,
}

/// The weather in a city
///
/// A worker gets the request over a Redis stream. The reply of the worker is the answer.
#[utoipa::path(
    post,
    path = "/WeatherForecast/city",
    operation_id = "forecast",
    tag = "weather",
    params(
        ("traceparent" = Option<String>, Header, description = "W3C trace context; the spans of the gateway and of the worker belong to this trace"),
    ),
    request_body(
        content = WeatherRequest,
        content_type = "application/json",
        example = json!({"city": "New York", "location": "Downtown"}),
    ),
    responses(
        (status = 200, description = "The forecast", body = Forecast, content_type = "application/json",
            headers(("server-timing" = String, description = "Milliseconds that the request spent in queue, work and reply"))),
    ),
)]
fn forecast() {}

/// The state of the gateway and of Redis
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "All is well", body = Report, content_type = "application/json"),
        (status = 503, description = "Redis does not respond, or no worker is alive", body = Report, content_type = "application/json",
            example = json!({
                "status": "degraded", "service": "ingress", "version": "0.1.0",
                "redis": {"circuit": "open"}, "workersAlive": 3, "pendingRequests": 0, "notReady": ["redis"],
            })),
    ),
)]
fn health() {}

/// Whether the process is alive
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    responses((status = 200, description = "The process runs its tasks", body = String, content_type = "text/plain", example = "ok")),
)]
fn live() {}

/// Whether the process should get traffic
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "All parts are ready", body = String, content_type = "text/plain", example = "ready"),
        (status = 503, description = "A part is not ready", body = Problem, content_type = "application/problem+json",
            example = json!({
                "title": "Service Unavailable", "status": 503, "detail": "not ready: redis",
                "requestId": "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f",
            })),
    ),
)]
fn ready() {}
