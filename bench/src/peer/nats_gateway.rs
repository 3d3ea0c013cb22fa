//! The peer over NATS, HTTP side: each request is a NATS request, its correlation an inbox.
//!
//! Nothing is stored: a request that no worker takes is lost, which is what the durable stream is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, RequestErrorKind};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use clap::Args;
use ingress::problem::Failure;
use streamgate::codec::{Codec, Json};
use streamgate::envelope::CorrelationId;
use tokio_util::sync::CancellationToken;

use super::front::{self, Front};
use super::wire;

/// A gateway over NATS request/reply
#[derive(Debug, Args)]
pub struct Options {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
    /// The NATS server
    #[arg(long)]
    nats: String,
    /// What is around the handlers
    #[arg(long, value_enum, default_value = "same")]
    front: Front,
}

/// As long as ingress lets a caller wait.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until `stop`.
///
/// # Errors
/// A part of it cannot be set up.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let nats = wire::options().request_timeout(Some(TIMEOUT)).connect(&options.nats).await?;
    let routes = Router::new()
        .route("/WeatherForecast/city", post(forecast))
        .route("/echo", post(echo))
        .with_state(Arc::new(nats));
    front::serve(options.front, options.listen, routes, stop).await
}

async fn forecast(
    State(nats): State<Arc<Client>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Failure> {
    let place = front::forecast_request(request).await?;
    let body = Json.encode(&place).map_err(|error| Failure::internal(error.to_string()))?;
    Ok(ask(&nats, id, &body).await)
}

async fn echo(
    State(nats): State<Arc<Client>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Failure> {
    Ok(ask(&nats, id, &front::raw_body(request).await?).await)
}

async fn ask(nats: &Client, id: CorrelationId, body: &[u8]) -> Response {
    match nats.request(wire::SUBJECT, wire::request(id.as_uuid(), body)).await {
        Ok(message) => match wire::read_reply(message.payload) {
            Some((status, body)) => front::answer(status, body),
            None => front::problem(id, 502, "the worker's reply is none"),
        },
        Err(error) => match error.kind() {
            RequestErrorKind::NoResponders => front::problem(id, 503, "no worker is there"),
            RequestErrorKind::TimedOut => front::problem(id, 504, "no reply in time"),
            RequestErrorKind::MaxPayloadExceeded => front::problem(id, 413, "too large for NATS"),
            _ => front::problem(id, 503, "NATS does not take the request"),
        },
    }
}
