//! The direct handler: the gateway's answer without a stream.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use clap::Args;
use ingress::problem::Failure;
use streamgate::envelope::CorrelationId;
use tokio_util::sync::CancellationToken;

use super::front::{self, Front};
use super::work::Forecaster;

/// A direct axum handler with the gateway's validation and answer
#[derive(Debug, Args)]
pub struct Options {
    /// Address and port
    #[arg(long)]
    listen: SocketAddr,
    /// What is around the handler
    #[arg(long, value_enum, default_value = "same")]
    front: Front,
}

/// Runs until `stop`.
///
/// # Errors
/// A part of it cannot be set up.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let routes = Router::new()
        .route("/WeatherForecast/city", post(forecast))
        .with_state(Arc::new(Forecaster::default()));
    front::serve(options.front, options.listen, routes, stop).await
}

async fn forecast(
    State(forecaster): State<Arc<Forecaster>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Failure> {
    let place = front::forecast_request(request).await?;
    let (status, body) = forecaster.answer(id.as_uuid(), place).await;
    Ok(front::answer(status, body))
}
