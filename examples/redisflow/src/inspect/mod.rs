//! What is on the stream, in its groups and pending: once or live, for people or as JSON.

mod meter;
mod snapshot;

use std::io::{IsTerminal, Write};

use anyhow::Context;
use service::process;
use streamgate::connection::Redis;

use crate::demo;
use crate::message::{EventCodec, Events};
use crate::settings::{FlowArgs, InspectArgs, Output, What};

pub use meter::{Meter, Rates};
pub use snapshot::{Snapshot, printable};

/// Prints what `args` ask for. Live on a terminal, it is a view; elsewhere, a line for each look.
///
/// # Errors
/// Redis cannot be reached, or refuses a command.
pub fn run(args: InspectArgs) -> anyhow::Result<()> {
    let runtime = process::runtime(1).context("the runtime cannot start")?;
    runtime.block_on(async {
        if args.what == What::Live && args.output == Output::Text && std::io::stdout().is_terminal() {
            return demo::watch(&args.flow, args.every.0).await;
        }
        let events = connect(&args.flow).await?;
        if args.what == What::Live {
            return live(&args, &events).await;
        }
        let snapshot = Snapshot::read(&events, &args.flow.group, args.count).await?;
        print(&match args.output {
            Output::Text => snapshot.text(args.what),
            Output::Json => format!("{:#}", snapshot.json(args.what)),
        })
    })
}

/// The stream of messages, on a server that answers.
///
/// # Errors
/// It does not answer.
pub async fn connect(flow: &FlowArgs) -> anyhow::Result<Events> {
    // An error means that a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = Redis::builder().url(&flow.url()?).connect().await?;
    Ok(Events::with_codec(&redis, flow.stream.as_str(), EventCodec)?)
}

/// Prints a line for each look, until nobody reads the lines. An outage is a line, not the end.
async fn live(args: &InspectArgs, events: &Events) -> anyhow::Result<()> {
    let mut meter = Meter::default();
    loop {
        let line = match (Snapshot::read(events, &args.flow.group, args.count).await, args.output) {
            (Ok(snapshot), Output::Text) => snapshot.line(meter.rates(&snapshot)),
            (Ok(snapshot), Output::Json) => snapshot.json(What::All).to_string(),
            (Err(error), Output::Text) => format!("Redis does not answer: {error}"),
            (Err(error), Output::Json) => serde_json::json!({ "error": error.to_string() }).to_string(),
        };
        if print(&line).is_err() {
            return Ok(());
        }
        tokio::time::sleep(args.every.0).await;
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush()).context("standard output is closed")
}
