//! The API on `:5010`: health, metrics, streams, dead letters, and the Swagger UI for them.

mod access;
mod dead_letters;
mod description;
mod head;
mod health;
mod page;
mod refusals;
mod streams;

use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{from_fn, map_request};
use service::exporter::Scrapes;
use service::http::ProblemAnswer;
use service::http::admin;
use service::http::swagger::SwaggerPage;
use service::liveness::Liveness;
use streamgate::connection::{Error, Redis};
use streamgate::stream::StreamKey;
use streamgate::telemetry::Readiness;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::description::ProblemSchema;
use crate::config::{AdminToken, ProviderName, Settings};
use crate::metrics::OperationMetrics;
use crate::streams::{Served, ServedQueue};
use crate::weather::UpstreamCircuits;

/// The state of the operations API. Clones share everything.
#[derive(Clone)]
pub struct Operations {
    redis: Redis,
    /// The name of this worker, if no queue knows a better one.
    worker: String,
    served: Served,
    grace: Duration,
    request_stream: StreamKey,
    reply_stream: StreamKey,
    provider: ProviderName,
    upstream: Option<UpstreamCircuits>,
    readiness: Readiness,
    admin_token: Option<AdminToken>,
    metrics: OperationMetrics,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamgate proxy: operations",
        description = "Health, streams and dead letters of a worker. The provider `open-meteo` uses \
                       weather data by Open-Meteo.com (CC BY 4.0)."
    ),
    paths(health::live, health::ready),
    components(schemas(ProblemSchema))
)]
struct Api;

impl Operations {
    /// The operations of a worker with these settings; `upstream` if the provider calls a service.
    pub fn new(
        settings: &Settings,
        redis: Redis,
        worker: String,
        served: Served,
        readiness: Readiness,
        upstream: Option<UpstreamCircuits>,
        metrics: OperationMetrics,
    ) -> Self {
        if settings.admin_token.is_none() {
            tracing::info!("{}", access::OFF);
        }
        Self {
            redis,
            worker,
            served,
            grace: settings.worker.group.consumer_grace.0,
            request_stream: settings.streams.request_stream.clone(),
            reply_stream: settings.streams.reply_stream.clone(),
            provider: settings.weather.weather_provider,
            upstream,
            readiness,
            admin_token: settings.admin_token.clone(),
            metrics,
        }
    }

    /// The routes.
    pub fn router(self, metrics: Scrapes, liveness: Liveness) -> Router {
        // A circuit changes with time, without an event, so its gauge must be set at each scrape.
        let (upstream, served) = (self.upstream.clone(), self.served.clone());
        let refresh = move |request: Request| {
            for upstream in served.upstreams() {
                upstream.record();
            }
            if let Some(upstream) = &upstream {
                upstream.record();
            }
            std::future::ready(request)
        };
        let probes = admin::routes(metrics, liveness, self.readiness.clone()).layer(map_request(refresh));
        let (described, mut api) = OpenApiRouter::with_openapi(Api::openapi())
            .routes(routes!(health::health))
            .routes(routes!(streams::list))
            .routes(routes!(streams::stream))
            .merge(dead_letters::routes(self.admin_token.clone()))
            .split_for_parts();
        description::guard(&mut api, self.admin_token.is_some());
        described
            .with_state(self)
            .merge(probes)
            .merge(page::routes(SwaggerPage::of(api)))
            .fallback(|| async { ProblemAnswer::new(404, "there is no such path; see /swagger") })
            .method_not_allowed_fallback(|| async {
                ProblemAnswer::new(405, "this path does not support the method; see /swagger")
            })
            .layer(from_fn(head::check))
    }
}

impl Operations {
    /// The queue of the stream called `name`, or else that of REQUEST_STREAM, or else the only one.
    ///
    /// # Errors
    /// There is no such queue, or no name although there are several.
    fn queue(&self, name: Option<&str>) -> Result<ServedQueue, ProblemAnswer> {
        let queues = self.served.queues();
        let found = match (name, &queues[..]) {
            (Some(name), _) => self.served.queue(name),
            (None, [only]) => Some(only.clone()),
            (None, _) => self.served.queue(self.request_stream.as_str()),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = queues.iter().map(|queue| queue.key().as_str()).collect();
            let names = names.join(", ");
            match name {
                Some(_) => {
                    ProblemAnswer::new(404, format!("this process serves no such stream; it serves: {names}"))
                }
                None => ProblemAnswer::new(400, format!("name the stream: ?stream= with one of: {names}")),
            }
        })
    }
}

/// The answer if Redis cannot be read.
fn unavailable(error: &Error) -> ProblemAnswer {
    tracing::warn!(%error, "an operation failed");
    ProblemAnswer::new(503, format!("the streams cannot be read now: {}", error.kind()))
}
