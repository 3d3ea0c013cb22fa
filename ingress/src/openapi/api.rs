//! The paths and schemas, as utoipa's macros want them written.
//!
//! The functions have no body: the routes take more than a macro could read from a signature.

#![allow(dead_code, reason = "descriptions: their values are made elsewhere")]

use utoipa::{OpenApi, ToSchema};
use weather::{Forecast, WeatherRequest};

use crate::routes::health::Report;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamgate ingress",
        description = "Ordinary HTTP requests, answered by workers behind a Redis stream. The weather forecast is the example that ships with it. Forecasts whose `source` is `open-meteo`: weather data by [Open-Meteo.com](https://open-meteo.com/) (CC BY 4.0).",
    ),
    paths(forecast, health, live, ready),
    components(schemas(Problem, FieldError)),
    tags(
        (name = "weather", description = "Work that travels over the stream"),
        (name = "health", description = "How the gateway is"),
    )
)]
pub(super) struct Api;

/// An error, as RFC 9457 describes it.
#[derive(ToSchema)]
struct Problem {
    /// A short name of the kind of problem; constant for a status.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened and what to do next, for this occurrence.
    detail: String,
    /// The correlation id of the request, as in x-request-id.
    #[schema(rename = "requestId", format = "uuid")]
    request_id: Option<String>,
    /// What is wrong with which field, all at once.
    errors: Option<Vec<FieldError>>,
}

/// One field that does not follow its rule.
#[derive(ToSchema)]
struct FieldError {
    /// The field's name in the request body.
    #[schema(example = "city")]
    field: String,
    /// The rule it broke.
    #[schema(example = "must not be empty")]
    detail: String,
}

/// The weather in a city
///
/// The request travels over a Redis stream to a worker; its reply is this answer.
#[utoipa::path(
    post,
    path = "/WeatherForecast/city",
    operation_id = "forecast",
    tag = "weather",
    params(
        ("traceparent" = Option<String>, Header, description = "W3C trace context; the work continues it"),
    ),
    request_body(
        content = WeatherRequest,
        content_type = "application/json",
        example = json!({"city": "New York", "location": "Downtown"}),
    ),
    responses(
        (status = 200, description = "The forecast", body = Forecast, content_type = "application/json",
            headers(("server-timing" = String, description = "Milliseconds in queue, work and reply"))),
    ),
)]
fn forecast() {}

/// How the gateway and its Redis are
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "Everything works", body = Report, content_type = "application/json"),
        (status = 503, description = "Redis does not answer, or no worker is alive", body = Report, content_type = "application/json",
            example = json!({
                "status": "degraded", "service": "ingress", "version": "0.1.0",
                "redis": {"circuit": "open"}, "workersAlive": 3, "pendingRequests": 0, "notReady": ["redis"],
            })),
    ),
)]
fn health() {}

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/livez",
    tag = "health",
    responses((status = 200, description = "It does", body = String, content_type = "text/plain", example = "ok")),
)]
fn live() {}

/// Whether the process should get traffic
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It should", body = String, content_type = "text/plain", example = "ready"),
        (status = 503, description = "It should not", body = Problem, content_type = "application/problem+json",
            example = json!({
                "title": "Service Unavailable", "status": 503, "detail": "not ready: redis",
                "requestId": "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f",
            })),
    ),
)]
fn ready() {}
