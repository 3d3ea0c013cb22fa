//! The peer over NATS, worker side: a task for each request of the queue group.

use std::sync::Arc;

use async_nats::{Client, Message};
use clap::Args;
use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::wire;
use super::work::{Forecaster, Kind};

/// A worker on NATS request/reply
#[derive(Debug, Args)]
pub struct Options {
    /// The NATS server
    #[arg(long)]
    nats: String,
    /// What to do
    #[arg(long, value_enum, default_value = "forecast")]
    work: Kind,
}

struct Worker {
    nats: Client,
    kind: Kind,
    forecaster: Forecaster,
}

/// Runs until `stop`.
///
/// # Errors
/// A part of it cannot be set up.
pub async fn run(options: Options, stop: CancellationToken) -> anyhow::Result<()> {
    let nats = wire::options().connect(&options.nats).await?;
    let mut requests = nats.queue_subscribe(wire::SUBJECT, wire::GROUP.to_owned()).await?;
    let worker = Arc::new(Worker { nats, kind: options.work, forecaster: Forecaster::default() });
    loop {
        let message = tokio::select! {
            message = requests.next() => message,
            () = stop.cancelled() => return Ok(()),
        };
        let Some(message) = message else { return Ok(()) };
        let worker = Arc::clone(&worker);
        tokio::spawn(async move { worker.answer(message).await });
    }
}

impl Worker {
    async fn answer(&self, message: Message) {
        let (Some(inbox), Some((id, body))) = (message.reply, wire::read_request(message.payload)) else {
            return;
        };
        let (status, body) = match self.kind {
            Kind::Forecast => self.forecaster.answer_unchecked(id, &body).await,
            Kind::Echo => (200, body),
        };
        // The caller has a timeout for the case that NATS is away.
        let _ = self.nats.publish(inbox, wire::reply(status, &body)).await;
    }
}
