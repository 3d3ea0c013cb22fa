//! Refreshes the gauges of streams and groups at every tick. The library trims streams and removes dead
//! consumers, since every worker has to do so.
//!
//! Every proxy ticks, at a jittered period; there is no leader.

use std::collections::HashSet;
use std::time::Duration;

use streamgate::connection::{Error, Redis, RetryLog, ServerMemory};
use streamgate::stream::{ConsumerGroup, StreamHealth, StreamKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::StreamMetrics;

/// Refreshes the gauges.
pub struct Housekeeping {
    /// The Redis server.
    pub redis: Redis,
    /// The group this worker belongs to.
    pub group: ConsumerGroup,
    /// The reply stream itself, not its lanes; its requesters trim it themselves.
    pub reply_stream: StreamKey,
    /// How long callers wait.
    pub request_timeout: Duration,
    /// Mean time between two ticks.
    pub period: Duration,
    /// The gauges.
    pub metrics: StreamMetrics,
}

impl Housekeeping {
    /// Ticks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        self.metrics.record_timeout(self.group.settings().stream.as_str(), self.request_timeout);
        let mut outage = RetryLog::new("housekeeping");
        let mut abandoned = HashSet::new();
        let mut next_tick = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next_tick) => {}
            }
            // Jittered, so that workers do not all tick at once.
            next_tick = Instant::now() + self.period.mul_f64(rand::random_range(0.75..1.25));
            match self.tick(&mut abandoned).await {
                Ok(()) => outage.healed(),
                Err(error) => {
                    outage.failed(&error);
                }
            }
        }
    }

    async fn tick(&mut self, abandoned: &mut HashSet<String>) -> Result<(), Error> {
        let grace = self.group.settings().grace;
        let requests = &self.group.settings().stream;
        let health = StreamHealth::read(&self.redis, requests).await?;
        match &health {
            Some(health) => self.metrics.record(requests.as_str(), health, grace),
            None => self.metrics.record_absent(requests.as_str()),
        }
        if let Some(health) = health {
            self.report_abandoned(&health, abandoned);
        }
        for stream in [&self.reply_stream, self.group.dead_letters().key()] {
            match StreamHealth::read(&self.redis, stream).await? {
                Some(health) => self.metrics.record(stream.as_str(), &health, grace),
                None => self.metrics.record_absent(stream.as_str()),
            }
        }
        if let Some(memory) = ServerMemory::read(&self.redis).await? {
            self.metrics.record_memory(&memory);
        }
        Ok(())
    }

    /// Trimming keeps every entry that a group has not read, so a group without live consumers stops it.
    fn report_abandoned(&self, health: &StreamHealth, reported: &mut HashSet<String>) {
        let now: HashSet<String> = health
            .groups
            .iter()
            .filter(|group| group.is_abandoned(self.group.settings().grace))
            .map(|group| group.name.clone())
            .collect();
        for group in now.difference(reported) {
            tracing::error!(
                group,
                stream = %self.group.settings().stream,
                "no consumer reads this group any more, so the entries that it has not read cannot be trimmed; start its workers or remove it with XGROUP DESTROY"
            );
        }
        *reported = now;
    }
}
