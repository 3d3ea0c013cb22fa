//! One measurement: load, CPU time of who was loaded, and a refusal if others were busy.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Lab;
use super::deployment::Deployment;
use super::machine::{Busy, TICKS};
use super::wrk::{Load, Seen};
use crate::results::Sample;

/// How a target is loaded.
#[derive(Debug, Clone)]
pub enum Loading {
    /// By wrk, over HTTP.
    Wrk(Load),
    /// By the raw Redis cycle, so many requests at once.
    Cycle(usize),
}

/// What others may take, in processors, before a measurement says nothing.
const ALLOWED: f64 = 0.1;
/// How often a measurement is repeated because of them.
const REPETITIONS: u32 = 10;
/// How long to wait for others to finish.
const PAUSE: Duration = Duration::from_secs(2);

impl Lab {
    /// Measures `target` while the rest of `running` is idle.
    ///
    /// # Errors
    /// The load fails, or others are busy all the time.
    pub async fn measure(
        &self,
        target: &Deployment,
        running: &[Deployment],
        loading: &Loading,
    ) -> anyhow::Result<Sample> {
        let mut stranger = String::new();
        for _ in 0..REPETITIONS {
            let (sample, busiest) = self.measure_once(target, running, loading).await?;
            if sample.others <= ALLOWED || self.options.allow_noise {
                return Ok(sample);
            }
            println!("  refused: others took {:.2} of a processor ({busiest})", sample.others);
            stranger = busiest;
            tokio::time::sleep(PAUSE).await;
        }
        bail!(
            "other processes took more than a tenth of a processor in each of {REPETITIONS} attempts, most of it {stranger}: stop them, or keep such rounds with --allow-noise"
        )
    }

    async fn measure_once(
        &self,
        target: &Deployment,
        running: &[Deployment],
        loading: &Loading,
    ) -> anyhow::Result<(Sample, String)> {
        let mut ours: Vec<u32> = running.iter().flat_map(Deployment::pids).collect();
        ours.push(std::process::id());
        let commands = commands(target).await?;
        let (before, load_before, started) = (Busy::now(), ended_children()?, Instant::now());
        let seen = self.load(target, loading, self.options.seconds).await?;
        let (after, load_after, elapsed) = (Busy::now(), ended_children()?, started.elapsed());

        let own: u64 = ours.iter().map(|pid| after.since(&before, *pid)).sum();
        let own = own as f64 / TICKS + (load_after - load_before).as_secs_f64();
        let all = after.total.saturating_sub(before.total) as f64 / TICKS;
        let redis_commands = match (commands, self::commands(target).await?) {
            (Some(before), Some(after)) => Some(after.saturating_sub(before) as f64 / seen.requests),
            _ => None,
        };
        let sample = Sample {
            per_second: seen.requests / seen.duration_us * 1e6,
            p50_us: seen.p50_us,
            p99_us: seen.p99_us,
            p999_us: seen.p999_us,
            errors: seen.errors,
            cpu_us: cpu(target, &before, &after, seen.requests),
            redis_commands,
            others: ((all - own) / elapsed.as_secs_f64()).max(0.0),
            more: BTreeMap::new(),
        };
        let busiest = after.busiest(&before, &ours).map_or("short-lived ones".to_owned(), |(name, _)| name);
        Ok((sample, busiest))
    }

    /// Loads `target` for `seconds`.
    ///
    /// # Errors
    /// The load fails.
    pub async fn load(&self, target: &Deployment, loading: &Loading, seconds: u32) -> anyhow::Result<Seen> {
        match (loading, target.redis) {
            (Loading::Wrk(load), _) => self.wrk(&target.addresses, target.path, load, seconds).await,
            (Loading::Cycle(batch), Some(redis)) => self.cycle(redis, *batch, seconds).await,
            (Loading::Cycle(_), None) => bail!("{} has no Redis", target.name),
        }
    }
}

async fn commands(target: &Deployment) -> anyhow::Result<Option<u64>> {
    Ok(match target.redis {
        Some(redis) => Some(redis.commands().await?),
        None => None,
    })
}

/// CPU time of children that have ended and were waited for: wrk.
fn ended_children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// CPU time per request in microseconds, by role.
fn cpu(target: &Deployment, before: &Busy, after: &Busy, requests: f64) -> BTreeMap<String, f64> {
    let mut spent = BTreeMap::new();
    for process in &target.processes {
        let us = after.since(before, process.pid) as f64 / TICKS * 1e6;
        *spent.entry(process.role.name().to_owned()).or_default() += us / requests;
    }
    spent
}
