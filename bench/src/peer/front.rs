//! The HTTP side of a peer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::serve::ListenerExt;
use bytes::Bytes;
use ingress::answer_layer::AnswerLayer;
use ingress::metrics::HttpMetrics;
use ingress::problem::Failure;
use service::exporter::MetricsRecorder;
use service::http::body::{self, BodyLimits};
use service::http::unread_body;
use service::http::{self, ServerLimits, ServerMetrics};
use streamgate::envelope::{CorrelationId, PROBLEM_JSON, Problem};
use streamgate::telemetry::Tracer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use weather::WeatherRequest;

/// The media type of requests and answers.
pub const JSON: &str = "application/json";

/// As ingress has them by default, but for bodies, which the experiment with large ones needs larger.
const BODY: BodyLimits = BodyLimits { size: 128 << 10, time: Duration::from_secs(10) };
const SERVER: ServerLimits = ServerLimits {
    connections: 8_192,
    header_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(10),
    drain: Duration::from_secs(1),
};

/// The layers around the routes of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Front {
    /// The gateway's own server and layers: timeouts, correlation id, metrics, panics caught.
    Same,
    /// `axum::serve` with TCP_NODELAY and the correlation id, nothing else.
    Bare,
}

/// Serves `routes` at `address` until `stop`.
///
/// # Errors
/// The address cannot be listened at.
pub async fn serve(
    front: Front,
    address: SocketAddr,
    routes: Router,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at {address}"))?;
    match front {
        Front::Same => {
            let layers = ServiceBuilder::new()
                .map_request(|request| unread_body::discard_later(request, BODY.time))
                .layer(AnswerLayer::new(
                    HttpMetrics::declare(Arc::new(MetricsRecorder::default())),
                    Tracer::default(),
                ))
                .layer(CatchPanicLayer::custom(Failure::of_panic));
            http::serve(listener, routes.layer(layers), SERVER, ServerMetrics::noop(), stop).await;
        }
        Front::Bare => {
            // An error means that the peer has left, which its connection will notice.
            let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
            axum::serve(listener, routes.layer(axum::middleware::map_request(give_id))).await?;
        }
    }
    Ok(())
}

/// The [`Front::Same`] front's layer does this, too.
async fn give_id(mut request: Request) -> Request {
    request.extensions_mut().insert(CorrelationId::mint());
    request
}

/// The checked request in `request`, as ingress reads it.
///
/// # Errors
/// What ingress would answer.
pub async fn forecast_request(request: Request) -> Result<WeatherRequest, Failure> {
    if !body::is_json(request.headers()) {
        return Err(Failure::unsupported_media_type(JSON));
    }
    Ok(WeatherRequest::parse(&raw_body(request).await?)?)
}

/// The body of `request`, within the limits.
///
/// # Errors
/// What ingress would answer.
pub async fn raw_body(request: Request) -> Result<Bytes, Failure> {
    Ok(body::read(request.into_body(), BODY).await?)
}

/// What `body` says under `status`, as JSON or, for an error, as a problem.
pub fn answer(status: u16, body: Bytes) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = if status.is_success() { JSON } else { PROBLEM_JSON };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    retry_later(status, response.headers_mut());
    response
}

/// An error of the peer itself.
pub fn problem(id: CorrelationId, status: u16, detail: &str) -> Response {
    answer(status, Problem::new(status, detail).for_request(id).to_body())
}

fn retry_later(status: StatusCode, headers: &mut HeaderMap) {
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
}
