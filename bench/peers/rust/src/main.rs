//! Contestants of the trial `streams` from other projects: `framework-peers apalis append redis://… 50000`.
//!
//! | Contestant | What it is |
//! |---|---|
//! | `apalis` | the job framework that Rust programs use most with Redis: no streams, but a list of ids and hashes, changed by Lua scripts |
//! | `sea-streamer` | a library for Redis Streams: a producer with pipelines, a consumer with acknowledgement in the background |

mod apalis_jobs;
mod sea_streamer;
#[path = "../../../src/peer/stream_task.rs"]
mod stream_task;

use anyhow::{Context, bail};

use self::stream_task::Meter;

/// On the runtime of their examples: a thread for each processor.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [contestant, phase, redis, entries] = arguments.as_slice() else {
        bail!("usage: framework-peers apalis|sea-streamer append|consume REDIS_URL ENTRIES");
    };
    let entries: usize = entries.parse().context("ENTRIES is a number")?;
    let meter = Meter::start()?;
    match (contestant.as_str(), phase.as_str()) {
        ("apalis", "append") => apalis_jobs::append(redis, entries).await?,
        ("apalis", "consume") => apalis_jobs::consume(redis, entries).await?,
        ("sea-streamer", "append") => sea_streamer::append(redis, entries).await?,
        ("sea-streamer", "consume") => sea_streamer::consume(redis, entries).await?,
        _ => bail!("there is no {contestant} {phase}"),
    }
    println!("{}", serde_json::to_string(&meter.report()?)?);
    Ok(())
}
