//! Gives every answer its correlation id, renders errors, and counts the answers.
//!
//! It is a tower layer around all routes and around the fallback. It creates the correlation id and puts
//! it into the extensions of the request, where the handler finds it. It is the only place that renders
//! and logs a [`Failure`], because only here the id, the route and the outcome are known together. It
//! also checks the host that a request names, because that rule holds for all routes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use opentelemetry::KeyValue;
use service::http::host;
use streamgate::envelope::{CorrelationId, TraceContext};
use streamgate::telemetry::{Span, SpanKind, Tracer};
use tower::{Layer, Service};

use crate::metrics::HttpMetrics;
use crate::problem::Failure;

/// Carries the correlation id on every answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Carries the trace of the caller (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The label of all paths without a route: a caller must not be able to create metric labels.
const UNMATCHED: &str = "unmatched";

/// The route of the routes file that made an answer: its id is the label of metrics.
#[derive(Clone)]
pub struct RouteLabel(pub Arc<routes::Route>);

/// Wraps routes in [`AnswerService`].
#[derive(Clone)]
pub struct AnswerLayer {
    metrics: Arc<HttpMetrics>,
    tracer: Tracer,
}

impl AnswerLayer {
    /// A layer that counts answers in `metrics` and starts spans with `tracer`.
    pub fn new(metrics: HttpMetrics, tracer: Tracer) -> Self {
        Self { metrics: Arc::new(metrics), tracer }
    }
}

impl<S> Layer<S> for AnswerLayer {
    type Service = AnswerService<S>;

    fn layer(&self, inner: S) -> AnswerService<S> {
        AnswerService { inner, metrics: Arc::clone(&self.metrics), tracer: self.tracer.clone() }
    }
}

/// See the [module](self).
#[derive(Clone)]
pub struct AnswerService<S> {
    inner: S,
    metrics: Arc<HttpMetrics>,
    tracer: Tracer,
}

impl<S, B> Service<Request> for AnswerService<S>
where
    S: Service<Request, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let caller = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let caller = caller.and_then(TraceContext::parse);
        let (id, route) = (CorrelationId::mint(), request.extensions().get::<MatchedPath>().cloned());
        let span = span_of(&self.tracer, caller, &request, route.as_ref(), id);
        let trace = span.context().or(caller);
        let under_way = UnderWay {
            id,
            route,
            started: Instant::now(),
            metrics: Arc::clone(&self.metrics),
            span,
            answered: false,
        };
        if let Err(error) = host::check(request.version(), request.uri(), request.headers()) {
            return Box::pin(async move { Ok(under_way.answer(Failure::from(error).into_response())) });
        }
        request.extensions_mut().insert(id);
        if let Some(trace) = trace {
            request.extensions_mut().insert(trace);
        }
        let response = self.inner.call(request);
        Box::pin(async move { Ok(under_way.answer(response.await?.map(Body::new))) })
    }
}

/// A request without an answer. If it is dropped before it has one, the caller has left.
struct UnderWay {
    id: CorrelationId,
    route: Option<MatchedPath>,
    started: Instant,
    metrics: Arc<HttpMetrics>,
    span: Span,
    answered: bool,
}

impl UnderWay {
    fn answer(mut self, mut response: Response) -> Response {
        // Only a request without a path in the router can have a route of the file.
        let label = match &self.route {
            Some(_) => None,
            None => response.extensions_mut().remove::<RouteLabel>(),
        };
        if let Some(RouteLabel(route)) = &label {
            self.span.record(|| [KeyValue::new("http.route", route.path.as_str().to_owned())]);
        }
        let by_router = || self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        let route = label.as_ref().map_or_else(by_router, |label| label.0.id.as_str());
        if let Some(failure) = response.extensions_mut().remove::<Failure>() {
            failure.log(self.id, route);
            // Keep the headers that inner layers have set, such as `ratelimit`.
            let inner = std::mem::take(response.headers_mut());
            response = failure.render(self.id);
            let rendered = std::mem::replace(response.headers_mut(), inner);
            response.headers_mut().extend(rendered);
        }
        response.headers_mut().insert(X_REQUEST_ID, header_of(self.id));
        tracing::debug!(id = %self.id, route, status = response.status().as_u16(), "answered");
        self.metrics.answered(route, response.status(), self.started.elapsed());
        let status = response.status();
        self.span.record(|| [KeyValue::new("http.response.status_code", i64::from(status.as_u16()))]);
        if status.is_server_error() {
            self.span.fail(status.as_str());
        }
        self.answered = true;
        response
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.answered {
            self.metrics.abandoned.increment(1);
            self.span.fail("caller_gone");
        }
    }
}

/// Starts the span of a request. Its parent is the span of the caller, if there is one.
fn span_of(
    tracer: &Tracer,
    caller: Option<TraceContext>,
    request: &Request,
    route: Option<&MatchedPath>,
    id: CorrelationId,
) -> Span {
    let method = request.method();
    let mut span = tracer.start(SpanKind::Server, caller, || match route {
        Some(route) => format!("{method} {}", route.as_str()),
        None => method.to_string(),
    });
    span.record(|| {
        let known = [
            KeyValue::new("http.request.method", method.to_string()),
            KeyValue::new("url.scheme", "http"),
            KeyValue::new("url.path", request.uri().path().to_owned()),
            KeyValue::new("streamgate.request_id", id.to_string()),
        ];
        known.into_iter().chain(route.map(|route| KeyValue::new("http.route", route.as_str().to_owned())))
    });
    span
}

fn header_of(id: CorrelationId) -> HeaderValue {
    HeaderValue::from_str(id.encode(&mut [0; 36])).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::time::Duration;

    use axum::http::header::HOST;
    use axum::routing::get;
    use axum::{Extension, Router};
    use http_body_util::BodyExt;
    use service::exporter::{MetricsRecorder, Scrapes};
    use tower::{ServiceBuilder, ServiceExt};
    use tower_http::catch_panic::CatchPanicLayer;

    use super::*;

    fn router() -> (Router, Scrapes) {
        let recorder = MetricsRecorder::default();
        let handle = recorder.handle();
        let router = Router::new()
            .route("/id", get(|Extension(id): Extension<CorrelationId>| async move { id.to_string() }))
            .route("/panic", get(panics))
            .route("/never", get(pending::<()>))
            .route("/with/{name}", get(|| async { "hello" }))
            .fallback(|| async { Failure::not_found() })
            .layer(
                ServiceBuilder::new()
                    .layer(AnswerLayer::new(HttpMetrics::declare(Arc::new(recorder)), Tracer::default()))
                    .layer(CatchPanicLayer::custom(Failure::of_panic)),
            );
        (router, handle)
    }

    async fn panics() -> &'static str {
        panic!("the handler broke")
    }

    async fn ask(router: &Router, path: &str) -> (Response<()>, String) {
        let request = Request::get(path).header(X_REQUEST_ID, "chosen-by-the-caller");
        let request = request.header(HOST, "x").body(Body::empty()).expect("valid");
        let (head, body) = router.clone().oneshot(request).await.expect("infallible").into_parts();
        let body = body.collect().await.expect("in memory").to_bytes();
        (Response::from_parts(head, ()), String::from_utf8(body.to_vec()).expect("text"))
    }

    #[tokio::test]
    async fn handler_and_caller_see_the_same_id() {
        let (router, _) = router();

        let (first, seen) = ask(&router, "/id").await;
        let (second, _) = ask(&router, "/id").await;

        assert_eq!(first.headers()[X_REQUEST_ID], seen);
        assert!(seen.parse::<CorrelationId>().is_ok(), "{seen}");
        assert_ne!(first.headers()[X_REQUEST_ID], second.headers()[X_REQUEST_ID]);
    }

    #[tokio::test]
    async fn a_panic_is_a_500_without_its_message() {
        let (router, _) = router();

        let (response, body) = ask(&router, "/panic").await;

        assert_eq!(response.status(), 500);
        assert!(body.contains("Internal Server Error") && !body.contains("broke"), "{body}");
        assert!(body.contains(response.headers()[X_REQUEST_ID].to_str().expect("text")), "{body}");
        assert_eq!(ask(&router, "/id").await.0.status(), 200);
    }

    #[tokio::test]
    async fn answers_are_counted_by_route_template_and_status() {
        let (router, metrics) = router();

        for path in ["/nothing", "/nowhere", "/with/a", "/with/b", "/panic"] {
            ask(&router, path).await;
        }

        let scrape = metrics.render();
        for line in [
            r#"http_requests_total{route="unmatched",status="404"} 2"#,
            r#"http_requests_total{route="/with/{name}",status="200"} 2"#,
            r#"http_requests_total{route="/panic",status="500"} 1"#,
            r#"http_request_duration_seconds_count{route="/with/{name}",status="200"} 2"#,
        ] {
            assert!(scrape.contains(line), "no {line} in\n{scrape}");
        }
        assert!(!scrape.contains("nowhere"), "{scrape}");
    }

    #[tokio::test]
    async fn a_caller_that_leaves_is_counted_as_abandoned() {
        let (router, metrics) = router();

        let answer = tokio::time::timeout(Duration::from_millis(1), ask(&router, "/never")).await;

        assert!(answer.is_err());
        let scrape = metrics.render();
        assert!(scrape.contains("http_requests_abandoned_total 1"), "{scrape}");
        assert!(!scrape.contains("http_requests_total{"), "{scrape}");
    }
}
