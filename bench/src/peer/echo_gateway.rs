//! Ingress for bodies of any size: the same engine, front and settings, and a route that passes a body
//! on unread. The forecast's own contract has no room for a large one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use clap::Args;
use ingress::problem::Failure;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::{Redis, RedisSettings};
use streamgate::envelope::CorrelationId;
use streamgate::requester::{
    Call, Destination, DestinationMetrics, DestinationSettings, Requester, RequesterMetrics,
    RequesterSettings, WorkerGroup,
};
use streamgate::telemetry::{Readiness, Tracer};
use tokio_util::sync::CancellationToken;

use super::front::{self, Front, JSON};

/// A gateway over Redis streams that passes bodies on unread
#[derive(Debug, Args)]
pub struct Options {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
    /// The Redis server
    #[arg(long)]
    redis: String,
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs until `stop`.
///
/// # Errors
/// A part of it cannot be set up.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let readiness = Readiness::default();
    let redis = Redis::open(
        RedisSettings::new(options.redis.parse().map_err(|rule| anyhow::anyhow!("--redis {rule}"))?),
        ConnectionMetrics::declare(),
        readiness.latch("redis"),
    )?;
    let settings = RequesterSettings {
        reply_stream: "weather-responses".parse().context("the reply stream")?,
        replica: None,
        max_in_flight: 10_000,
        longest_timeout: TIMEOUT,
        busy_poll: Duration::from_micros(500),
        tracer: Tracer::default(),
    };
    let metrics = RequesterMetrics::declare(&settings);
    let requester = Requester::start(redis, settings, metrics, &readiness, stop.clone())?;
    let destination = DestinationSettings {
        stream: "weather-requests".parse().context("the request stream")?,
        workers: Some(WorkerGroup { name: "weather-workers".to_owned(), grace: Duration::from_secs(15) }),
    };
    let metrics = DestinationMetrics::declare(&destination.stream);
    let to = requester.destination(destination, metrics);
    let routes = Router::new().route("/echo", post(echo)).with_state(Arc::new((requester, to)));
    front::serve(Front::Same, options.listen, routes, stop).await
}

async fn echo(
    State(gateway): State<Arc<(Requester, Destination)>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Failure> {
    let body = front::raw_body(request).await?;
    let (requester, to) = &*gateway;
    let to = to.clone();
    let call = Call { to, id, trace: None, content_type: JSON.into(), body, timeout: TIMEOUT, http: None };
    let reply = requester.request(call).await?.reply;
    Ok(front::answer(reply.status, reply.body))
}
