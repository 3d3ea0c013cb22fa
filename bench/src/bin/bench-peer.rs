//! All peers in one program: `bench-peer direct --listen 127.0.0.1:8080`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bench::peer::{direct, echo_gateway, echo_worker, nats_gateway, nats_worker, raw_cycle, streams};
use clap::Parser;
use service::{process, shutdown};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What the gateway is measured against
#[derive(Parser)]
enum Peer {
    /// A direct axum handler with the gateway's validation and answer
    Direct(direct::Options),
    /// A gateway over NATS request/reply
    NatsGateway(nats_gateway::Options),
    /// A worker on NATS request/reply
    NatsWorker(nats_worker::Options),
    /// A gateway over Redis streams that passes bodies on unread
    EchoGateway(echo_gateway::Options),
    /// The proxy, answering with what it was asked; its settings are in the environment
    EchoWorker,
    /// The raw Redis cycle of a request and its reply
    Cycle(raw_cycle::Options),
    /// A contestant of the trial streams
    Streams(streams::Options),
}

/// Longest time from a signal to the end.
const GRACE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    match run(Peer::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// On a runtime such as the product's processes have by default: one thread.
fn run(peer: Peer) -> anyhow::Result<()> {
    process::runtime(1).context("the runtime cannot start")?.block_on(async {
        let stop = shutdown::on_signal(GRACE).context("signals cannot be handled")?;
        match peer {
            Peer::Direct(options) => direct::run(options, stop).await,
            Peer::NatsGateway(options) => nats_gateway::run(options, stop).await,
            Peer::NatsWorker(options) => nats_worker::run(options, stop).await,
            Peer::EchoGateway(options) => echo_gateway::run(options, stop).await,
            Peer::EchoWorker => echo_worker::run(stop).await,
            // It takes as long as it was told and holds nothing that would have to be let go.
            Peer::Cycle(options) => raw_cycle::run(&options),
            Peer::Streams(options) => streams::run(&options).await,
        }
    })
}
