//! A deployment whose capacity is known and far below what the machine can do, and what it costs.

use std::collections::HashMap;
use std::fs;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, Value, cmd};
use tokio::time::sleep;

use super::super::loadtest::{Load, Report};
use super::seen::{DEADLINE, Memory};
use crate::lab::Lab;
use crate::lab::deployment::Deployment;
use crate::lab::gateway::Gateway;
use crate::lab::process::{Process, Role};

pub(super) const WORKERS: usize = 2;
pub(super) const SLOTS: usize = 6;
/// 40 ms of work on average in 12 slots: 300 answers a second, done by sleeping.
pub(super) const LATENCY: &str = "20ms..60ms";
/// Longer than the deadline: the gateway's own 504 is to be seen.
const PATIENCE: &str = "4s";
/// Every request that waits has a connection at both ends.
const OPEN_FILES: u64 = 20_000;
const REQUESTS: &str = "weather-requests";
/// How long the rest of a load may take, and a worker to join.
const IDLE_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// Between two looks at memory.
const PERIOD: Duration = Duration::from_millis(200);

/// One Redis, one gateway and two workers, and the load on them.
pub(super) struct Target<'a> {
    lab: &'a Lab,
    deployment: Deployment,
    redis: MultiplexedConnection,
}

impl<'a> Target<'a> {
    /// Starts everything.
    ///
    /// # Errors
    /// A part of it does not get ready.
    pub(super) async fn start(lab: &'a Lab) -> anyhow::Result<Self> {
        let deadline = ("REQUEST_TIMEOUT", format!("{DEADLINE}s"));
        let proxy = vec![
            deadline.clone(),
            ("WORKER_CONCURRENCY", SLOTS.to_string()),
            ("SIMULATED_LATENCY", LATENCY.to_owned()),
            ("WEATHER_PROVIDER", "simulated".to_owned()),
            // So that memory measures what waits, not the past that is kept on purpose.
            ("RETENTION_ENTRIES", "10000".to_owned()),
        ];
        let how = Gateway { workers: WORKERS, ingress: vec![deadline], proxy, ..Gateway::default() };
        let deployment = lab.gateway(how).await?;
        let address = deployment.redis.context("a gateway has a Redis")?;
        let client = redis::Client::open(address.url())?;
        let redis = client.get_multiplexed_async_connection().await?;
        let mut target = Self { lab, deployment, redis };
        target.until("both workers", |group, _| number(group, "consumers") == Some(WORKERS as u64)).await?;
        Ok(target)
    }

    /// Begins a load on the gateway.
    pub(super) fn load(&self, arguments: &[&str]) -> anyhow::Result<Load> {
        let deadline = format!("{DEADLINE}s");
        let common = ["--timeout", PATIENCE, "--deadline", &deadline];
        Load::start(self.lab, self.deployment.addresses[0], &[&common, arguments].concat())
    }

    /// What the load generator reports. None of the processes may die of overload.
    pub(super) async fn result(&mut self, load: Load) -> anyhow::Result<Report> {
        let report = load.report().await;
        self.deployment.processes.iter_mut().try_for_each(Process::check)?;
        report
    }

    /// Waits until nothing is left of the load before.
    pub(super) async fn drained(&mut self) -> anyhow::Result<()> {
        self.until("an empty stream", |group, stream| {
            number(group, "pending") == Some(0)
                && group.get("last-delivered-id") == stream.get("last-generated-id")
        })
        .await
    }

    /// How many requests were ever put on the stream. Who got 503 after that was not refused, but dropped.
    pub(super) async fn admitted(&mut self) -> anyhow::Result<u64> {
        let stream: Info = self.ask("STREAM").await?;
        number(&stream, "entries-added").context("Redis does not count entries: 7.0 or newer is needed")
    }

    /// Looks at the memory of the processes.
    pub(super) fn meter(&self) -> Meter {
        let of = |role| {
            let these = self.deployment.processes.iter().filter(move |process| process.role == role);
            these.map(|process| process.pid).collect()
        };
        Meter { ingress: of(Role::Gateway), proxy: of(Role::Worker), redis: self.redis.clone() }
    }

    async fn until(&mut self, what: &str, is: impl Fn(&Info, &Info) -> bool) -> anyhow::Result<()> {
        let started = Instant::now();
        loop {
            let (stream, groups): (Info, Vec<Info>) = (self.ask("STREAM").await?, self.ask("GROUPS").await?);
            if !groups.is_empty() && groups.iter().all(|group| is(group, &stream)) {
                return Ok(());
            }
            self.deployment.processes.iter_mut().try_for_each(Process::check)?;
            anyhow::ensure!(started.elapsed() < IDLE_WITHIN, "not within {IDLE_WITHIN:?}: {what}");
            sleep(PAUSE).await;
        }
    }

    async fn ask<T: FromRedisValue>(&mut self, about: &str) -> anyhow::Result<T> {
        Ok(cmd("XINFO").arg(about).arg(REQUESTS).query_async(&mut self.redis).await?)
    }
}

type Info = HashMap<String, Value>;

fn number(info: &Info, name: &str) -> Option<u64> {
    match info.get(name)? {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

/// Samples memory.
pub(super) struct Meter {
    ingress: Vec<u32>,
    proxy: Vec<u32>,
    redis: MultiplexedConnection,
}

impl Meter {
    /// What `load` gives, and the most memory while it ran.
    pub(super) async fn during<T>(
        mut self,
        load: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<(T, Memory)> {
        let mut load = pin!(load);
        let mut peak = self.now().await?;
        loop {
            tokio::select! {
                done = &mut load => return Ok((done?, peak.most(self.now().await?))),
                () = sleep(PERIOD) => peak = peak.most(self.now().await?),
            }
        }
    }

    async fn now(&mut self) -> anyhow::Result<Memory> {
        let info: String = cmd("INFO").arg("memory").query_async(&mut self.redis).await?;
        let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok());
        let redis = used.context("Redis does not tell its memory")?;
        Ok(Memory { ingress: largest(&self.ingress), proxy: largest(&self.proxy), redis })
    }
}

fn largest(pids: &[u32]) -> u64 {
    pids.iter()
        .filter_map(|pid| resident(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?))
        .max()
        .unwrap_or(0)
}

/// Bytes, from /proc/PID/status.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// For this process and all it starts.
pub(super) fn raise_open_files() -> anyhow::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let wanted = OPEN_FILES.min(hard);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        assert_eq!(resident("Name:\tingress\nVmRSS:\t   2048 kB\nThreads:\t3\n"), Some(2 * 1024 * 1024));
        assert_eq!(resident("Name:\tgone\n"), None);
    }
}
