//! The API on `:5010`: health, metrics, streams, dead letters, and the Swagger UI for them.

mod dead_letters;
mod health;
mod streams;

use axum::Router;
use axum::response::Redirect;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use streamgate::connection::{Error, Redis};
use streamgate::envelope::Problem;
use streamgate::http::admin;
use streamgate::stream::{ConsumerGroup, StreamKey};
use streamgate::telemetry::Readiness;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::config::{ProviderName, Settings};

/// What the operations look at. Clones share everything.
#[derive(Clone)]
pub struct Operations {
    redis: Redis,
    group: ConsumerGroup,
    request_stream: StreamKey,
    reply_stream: StreamKey,
    provider: ProviderName,
    readiness: Readiness,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamgate proxy: operations",
        description = "Health, streams and dead letters of a worker. With the provider `open-meteo`, \
                       forecasts are made from weather data by Open-Meteo.com (CC BY 4.0)."
    ),
    components(schemas(ProblemSchema))
)]
struct Api;

/// An error (RFC 9457, `application/problem+json`).
#[derive(utoipa::ToSchema)]
#[schema(as = Problem)]
#[allow(dead_code)] // only its schema is used; `streamgate::envelope::Problem` is what is sent
struct ProblemSchema {
    /// A short name of the kind of problem.
    #[schema(example = "Not Found")]
    title: String,
    /// The HTTP status.
    #[schema(example = 404)]
    status: u16,
    /// What happened and what to do next.
    #[schema(
        example = "`orders` is none of the configured streams: weather-requests, weather-responses, {weather-requests}:dlq"
    )]
    detail: String,
}

impl Operations {
    /// The operations of a worker with these settings.
    pub fn new(settings: &Settings, redis: Redis, group: ConsumerGroup, readiness: Readiness) -> Self {
        Self {
            redis,
            group,
            request_stream: settings.streams.request_stream.clone(),
            reply_stream: settings.streams.reply_stream.clone(),
            provider: settings.weather.weather_provider,
            readiness,
        }
    }

    /// The route table.
    pub fn router(self, metrics: PrometheusHandle) -> Router {
        let probes = admin::routes(metrics, self.readiness.clone());
        let (described, api) = OpenApiRouter::with_openapi(Api::openapi())
            .routes(routes!(health::health))
            .routes(routes!(streams::stream))
            .routes(routes!(dead_letters::list))
            .split_for_parts();
        described
            .with_state(self)
            .merge(probes)
            .merge(SwaggerUi::new("/swagger").url("/api-docs/openapi.json", api))
            .route("/", get(|| async { Redirect::temporary("/swagger") }))
            .fallback(|| async { Problem::new(404, "there is nothing here; see /swagger") })
            .method_not_allowed_fallback(|| async {
                Problem::new(405, "this path takes another method; see /swagger")
            })
    }
}

/// Redis could not answer an operation.
fn unavailable(error: &Error) -> Problem {
    tracing::warn!(%error, "an operation failed");
    Problem::new(503, format!("the streams cannot be read now: {}", error.kind()))
}
