//! The route table and what every answer has in common, nothing else.
//!
//! The table is a closed enum rather than an `axum::Router`: eight routes need no tree, a closed
//! set bounds the labels of every metric by itself, and a request is dispatched without boxing
//! its body, its future and its path on the way.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use streamgate::envelope::CorrelationId;

use crate::body::BodyLimits;
use crate::metrics::HttpMetrics;
use crate::openapi;
use crate::problem::Failure;
use crate::routes::health::Health;
use crate::routes::weather;
use crate::upstream::Upstream;

/// Carries the correlation id on every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Where a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// The forecast for a city, by way of a worker.
    Forecast,
    /// How the gateway and its dependencies are, for people and dashboards.
    Health,
    /// Whether the process answers.
    Live,
    /// Whether the process should get traffic.
    Ready,
    /// The description of this API.
    OpenApi,
    /// The same to try out in a browser.
    Swagger,
    /// Leads to the Swagger UI.
    Root,
    /// Everything else.
    Unmatched,
}

impl Route {
    /// Every route, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Forecast,
        Self::Health,
        Self::Live,
        Self::Ready,
        Self::OpenApi,
        Self::Swagger,
        Self::Root,
        Self::Unmatched,
    ];

    /// The route of a path.
    pub fn of(path: &str) -> Self {
        match path {
            "/WeatherForecast/city" => Self::Forecast,
            "/healthz" => Self::Health,
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/api-docs/openapi.json" => Self::OpenApi,
            "/swagger" => Self::Swagger,
            "/" => Self::Root,
            _ if path.starts_with("/swagger/") => Self::Swagger,
            _ => Self::Unmatched,
        }
    }

    /// The template that stands for the route in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Forecast => "/WeatherForecast/city",
            Self::Health => "/healthz",
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::OpenApi => "/api-docs/openapi.json",
            Self::Swagger => "/swagger/{*path}",
            Self::Root => "/",
            Self::Unmatched => "unmatched",
        }
    }

    /// Its methods, as the `Allow` header lists them.
    pub fn allowed(self) -> &'static str {
        match self {
            Self::Forecast => "POST",
            _ => "GET, HEAD",
        }
    }

    fn allows(self, method: &Method) -> bool {
        match self {
            Self::Unmatched => true,
            Self::Forecast => method == Method::POST,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// The limits of one request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// What its body may cost.
    pub body: BodyLimits,
    /// How long its caller waits for the reply.
    pub timeout: Duration,
}

/// Answers requests. Clones share everything.
pub struct Router<U>(Arc<Parts<U>>);

struct Parts<U> {
    upstream: U,
    health: Health<U>,
    limits: Limits,
    metrics: HttpMetrics,
}

impl<U> Clone for Router<U> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<U: Upstream> Router<U> {
    /// A router in front of `upstream`.
    pub fn new(upstream: U, health: Health<U>, limits: Limits, metrics: HttpMetrics) -> Self {
        Self(Arc::new(Parts { upstream, health, limits, metrics }))
    }

    /// Answers one request, whatever happens: a failure becomes a problem, a panic a 500. Every
    /// answer carries the correlation id minted here and is counted.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes>,
    {
        let started = Instant::now();
        let id = CorrelationId::mint();
        let route = Route::of(request.uri().path());
        let in_progress = InProgress(&self.0.metrics);
        let head = request.method() == Method::HEAD;

        let mut response = match unpanicked(self.0.dispatch(route, id, request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => {
                tracing::debug!(%id, route = route.label(), %failure, "a request failed");
                failure.into_response(id)
            }
            Err(panic) => {
                let reason = reason_of(&*panic);
                tracing::error!(%id, route = route.label(), reason, "a request panicked");
                Failure::internal().into_response(id)
            }
        };

        response.headers_mut().insert(X_REQUEST_ID, id_header(id));
        in_progress.answered(route, &response, started.elapsed());
        if head { without_body(response) } else { response }
    }
}

impl<U: Upstream> Parts<U> {
    async fn dispatch<B>(
        &self,
        route: Route,
        id: CorrelationId,
        request: Request<B>,
    ) -> Result<Response<Full<Bytes>>, Failure>
    where
        B: Body<Data = Bytes>,
    {
        if !route.allows(request.method()) {
            return Err(Failure::method_not_allowed(route.allowed()));
        }
        match route {
            Route::Forecast => weather::forecast(&self.upstream, self.limits, id, request).await,
            Route::Health => Ok(self.health.report().into_response()),
            Route::Live => Ok(self.health.live()),
            Route::Ready => self.health.ready(),
            Route::OpenApi => Ok(openapi::document()),
            Route::Swagger => openapi::swagger_ui(request.uri().path()),
            Route::Root => Ok(openapi::redirect_to_swagger_ui()),
            Route::Unmatched => Err(Failure::not_found()),
        }
    }
}

/// Counts a request when it is answered, or as abandoned when it is dropped before: its caller
/// has gone.
struct InProgress<'a>(&'a HttpMetrics);

impl InProgress<'_> {
    fn answered<B>(self, route: Route, response: &Response<B>, elapsed: Duration) {
        self.0.answered(route, response.status(), elapsed);
        std::mem::forget(self);
    }
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        self.0.abandoned.increment(1);
    }
}

/// Runs `work` and catches its panic. A request owns its state, so nothing half-done is left
/// for others to see.
async fn unpanicked<F: Future>(work: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn reason_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

fn id_header(id: CorrelationId) -> HeaderValue {
    let mut buffer = [0; 36];
    HeaderValue::from_str(id.encode(&mut buffer)).unwrap_or(HeaderValue::from_static(""))
}

/// HEAD is GET without the body, its length included (RFC 9110, 9.3.2).
fn without_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let (mut head, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact() {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(head, Full::default())
}

#[cfg(test)]
mod tests;
