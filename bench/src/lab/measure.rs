//! One measurement: load, CPU time of who was loaded.

use std::collections::BTreeMap;

use anyhow::bail;

use super::Lab;
use super::deployment::Deployment;
use super::machine::{Busy, TICKS};
use super::watch::{Disturbance, Watch, Watched};
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
        self.undisturbed(async || self.measure_once(target, running, loading).await).await
    }

    async fn measure_once(
        &self,
        target: &Deployment,
        running: &[Deployment],
        loading: &Loading,
    ) -> anyhow::Result<(Sample, Disturbance)> {
        let commands = commands(target).await?;
        let watch = Watch::start()?;
        let seen = self.load(target, loading, self.options.seconds).await?;
        let Watched { before, after, disturbance } = watch.end(running.iter().flat_map(Deployment::pids))?;
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
            others: disturbance.others,
            more: BTreeMap::new(),
        };
        Ok((sample, disturbance))
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

/// CPU time per request in microseconds, by role.
fn cpu(target: &Deployment, before: &Busy, after: &Busy, requests: f64) -> BTreeMap<String, f64> {
    let mut spent = BTreeMap::new();
    for process in &target.processes {
        let us = after.since(before, process.pid) as f64 / TICKS * 1e6;
        *spent.entry(process.role.name().to_owned()).or_default() += us / requests;
    }
    spent
}
