//! Redis is killed under load in each durability setting: what had it confirmed and then forgot?
//!
//! A kill takes the process, not the machine: what the process has written is safe in the page cache, synced
//! or not. What a power failure takes cannot be seen this way.

mod disk;
mod kept;
mod loss;
mod server;
mod setting;
mod table;
mod target;
mod writer;

use std::path::Path;
use std::time::Duration;

use tokio::time::sleep;

pub(super) use self::kept::Kept;
use self::kept::Kill;
use self::loss::Loss;
use self::server::Server;
use self::setting::{SETTINGS, Setting};
use self::target::Target;
use self::writer::Writer;
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::options::RunOptions;

/// Settings take turns, so that whatever else this machine does meets them all.
const ROUNDS: usize = 3;
const CALLERS: &str = "64";
/// Work that takes its time, in slots of which 40 are busy on average: at the moment of the kill some callers'
/// requests are being worked on and some wait on the stream.
const RATE: &str = "200";
const WORK: [(&str, &str); 3] =
    [("SIMULATED_LATENCY", "100ms..300ms"), ("WORKER_CONCURRENCY", "42"), ("REQUEST_TIMEOUT", "5s")];
const PATIENCE: &str = "8s";
/// When Redis is killed after the writer began: seconds, from one to the other.
const BEFORE: (f64, f64) = (3.0, 9.0);
/// How long Redis is away, and how long callers go on after that.
const AWAY: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(3);

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Vec<Kept>> {
    let lab = Lab::open(options.clone())?;
    let data = match &options.data {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let mut all: Vec<Kept> =
        SETTINGS.iter().map(|setting| Kept::new(setting.name, setting.may_lose)).collect();
    for round in 0..ROUNDS {
        for (number, (setting, kept)) in SETTINGS.iter().zip(&mut all).enumerate() {
            let _neighbour = setting.disk_is_busy.then(|| disk::keep_busy(data.path())).transpose()?;
            let folder = data.path().join(format!("{round}-{number}"));
            kept.throughput.push(throughput(&lab, setting, &folder.with_extension("throughput")).await?);
            let server = Server::start(&lab, setting, &folder.with_extension("kills")).await?;
            let mut target = Target::start(&lab, server, &WORK).await?;
            for kill in (round..options.kills as usize).step_by(ROUNDS) {
                let seen = killed(&mut target, setting, &format!("durability-{kill}")).await?;
                println!("  {}: {}", setting.name, seen.in_words());
                kept.kills.push(seen);
            }
        }
    }
    Ok(all)
}

/// The table, and the promises that were broken.
pub(super) fn outcome(all: &[Kept]) -> Outcome {
    Outcome { table: table::table(all), missed: all.iter().flat_map(Kept::broken).collect() }
}

/// Right answers per second when there is always a caller.
async fn throughput(lab: &Lab, setting: &Setting, folder: &Path) -> anyhow::Result<f64> {
    let server = Server::start(lab, setting, folder).await?;
    let target = Target::start(lab, server, &[]).await?;
    let load = ["--mode", "concurrent", "--concurrency", CALLERS, "--duration"];
    target.load(&[&load[..], &["1s"]].concat())?.report().await?;
    let duration = format!("{}s", lab.options.seconds);
    let report = target.load(&[&load[..], &[&duration]].concat())?.report().await?;
    Ok(report.throughput_per_second)
}

/// One kill under load, and what it cost.
async fn killed(target: &mut Target<'_>, setting: &Setting, stream: &str) -> anyhow::Result<Kill> {
    let before = Duration::from_secs_f64(BEFORE.0 + (BEFORE.1 - BEFORE.0) * random());
    let sync = if setting.disk_is_busy { server::SYNC_PATIENCE } else { Duration::ZERO };
    let duration = format!("{}ms", (before + sync + AWAY + AFTER).as_millis());
    let load = ["--mode", "rate", "--rate", RATE, "--timeout", PATIENCE, "--duration", &duration];
    let load = target.load(&load)?;
    let writer = Writer::start(target.server.address, stream).await?;
    sleep(before).await;
    if setting.disk_is_busy {
        target.server.slow_sync().await?;
    }
    let killed = target.server.kill().await;
    let confirmed = writer.ended().await?;
    sleep(AWAY).await;
    target.server.restart().await?;
    let ages: Vec<Duration> = confirmed.iter().map(|at| killed.saturating_duration_since(*at)).collect();
    let loss = Loss::of(&ages, &target.server.numbers(stream).await?);
    let report = load.report().await?;
    target.check()?;
    Ok(Kill { confirmed: confirmed.len() as u64, loss, report })
}

/// From 0 to 1.
fn random() -> f64 {
    // The random part of a UUIDv7 is at its end.
    f64::from(uuid::Uuid::now_v7().as_u128() as u32) / f64::from(u32::MAX)
}
