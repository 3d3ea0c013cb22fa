//! Small entries are appended to a stream and consumed in a group with acknowledgement: by the library, by plain
//! commands of the `redis` crate, and by frameworks.
//!
//! Each contestant appends to a new server in one process and consumes in another, so that memory is told apart, too.

mod contestant;
mod table;

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use self::contestant::{CONTESTANTS, Contestant, Ready};
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::lab::machine::{Machine, TICKS};
use crate::lab::process::Process;
use crate::lab::redis::RedisAddress;
use crate::lab::watch::{Disturbance, Watch};
use crate::options::RunOptions;
use crate::peer::stream_task::{GROUP, Report, STREAM};

/// What was seen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seen {
    machine: Machine,
    rounds: u32,
    entries: usize,
    noisy: bool,
    rows: Vec<Row>,
}

/// One contestant in all rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    name: String,
    entries: usize,
    /// Why it was not measured.
    absent: Option<String>,
    append: Vec<Sample>,
    consume: Vec<Sample>,
}

/// One process of a contestant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Sample {
    per_second: f64,
    /// CPU time per entry in microseconds.
    client_us: f64,
    server_us: f64,
    peak_mib: f64,
}

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Seen> {
    let lab = Lab::open(options.clone())?;
    let mut rows = Vec::new();
    for contestant in &CONTESTANTS {
        let ready = contestant.prepare(&lab).await;
        if let Err(why) = &ready {
            println!("  {} is left out: {why}", contestant.name);
        }
        let (entries, absent) = (options.entries.min(contestant.most), ready.as_ref().err().cloned());
        let name = contestant.name.to_owned();
        rows.push((ready, Row { name, entries, absent, append: Vec::new(), consume: Vec::new() }));
    }
    for round in 1..=options.rounds {
        for ((ready, row), contestant) in rows.iter_mut().zip(&CONTESTANTS) {
            let Ok(ready) = ready else { continue };
            let turn = async || turn(&lab, contestant, ready, row.entries).await;
            let (append, consume) = lab.undisturbed(turn).await?;
            println!(
                "  {round}/{}  {:<40} append {:>8.0}/s   consume {:>8.0}/s   peak {:>5.1} MiB",
                options.rounds, row.name, append.per_second, consume.per_second, consume.peak_mib
            );
            row.append.push(append);
            row.consume.push(consume);
        }
    }
    Ok(Seen {
        machine: Machine::describe(&[&options.redis_server]),
        rounds: options.rounds,
        entries: options.entries,
        noisy: options.allow_noise,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    })
}

/// The tables, and the bounds that were missed.
pub(super) fn outcome(seen: &Seen) -> Outcome {
    Outcome { table: table::tables(seen), missed: table::missed(seen) }
}

/// A new server, all entries in, all entries out.
async fn turn(
    lab: &Lab,
    contestant: &Contestant,
    ready: &Ready,
    entries: usize,
) -> anyhow::Result<((Sample, Sample), Disturbance)> {
    let (mut server, address) = lab.redis(&[])?;
    let command = |phase| ready.command(lab, phase, &address.url(), entries);
    let (append, one) = measure(command("append"), &mut server, entries).await?;
    let (consume, other) = measure(command(contestant.consume), &mut server, entries).await?;
    if contestant.streams {
        all_finished(address, contestant.name, entries).await?;
    }
    let worse = if one.others > other.others { one } else { other };
    Ok(((append, consume), worse))
}

/// Runs one process of a contestant.
async fn measure(
    mut command: Command,
    server: &mut Process,
    entries: usize,
) -> anyhow::Result<(Sample, Disturbance)> {
    let watch = Watch::start()?;
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output());
    let output = output.await.with_context(|| format!("{command:?} does not end"))??;
    let watched = watch.end([server.pid])?;
    server.check()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let report: Report = serde_json::from_str(said.lines().last().unwrap_or_default())
        .with_context(|| format!("{command:?} failed: {said}{}", String::from_utf8_lossy(&output.stderr)))?;
    let entries = entries as f64;
    let sample = Sample {
        per_second: entries / report.seconds,
        client_us: report.cpu_seconds * 1e6 / entries,
        server_us: watched.after.since(&watched.before, server.pid) as f64 / TICKS * 1e6 / entries,
        peak_mib: report.peak_kib as f64 / 1_024.0,
    };
    Ok((sample, watched.disturbance))
}

/// For one process.
const PATIENCE: Duration = Duration::from_secs(600);

/// A contestant that leaves entries unread or unacknowledged has not done the work.
async fn all_finished(redis: RedisAddress, name: &str, entries: usize) -> anyhow::Result<()> {
    let group = redis.group(STREAM, GROUP).await?;
    let read = group.entries_read.unwrap_or_default();
    anyhow::ensure!(
        read == entries && group.pending == 0,
        "{name} read {read} of {entries} entries and left {} unacknowledged",
        group.pending
    );
    Ok(())
}
