//! Refreshes the gauges of streams and groups at every tick. The library trims streams and removes dead
//! consumers, since every worker has to do so.
//!
//! Every proxy ticks, at a jittered period; there is no leader.

use std::collections::HashSet;
use std::time::Duration;

use streamgate::connection::{Error, Redis, RetryLog, ServerMemory};
use streamgate::stream::{StreamHealth, StreamKey};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::StreamMetrics;
use crate::streams::{Served, ServedQueue};

/// Refreshes the gauges.
pub struct Housekeeping {
    /// The Redis server.
    pub redis: Redis,
    /// What this process serves.
    pub served: Served,
    /// A consumer that is silent for longer counts as dead.
    pub grace: Duration,
    /// The reply stream itself, not its lanes; its requesters trim it themselves.
    pub reply_stream: StreamKey,
    /// Mean time between two ticks.
    pub period: Duration,
    /// The gauges.
    pub metrics: StreamMetrics,
}

impl Housekeeping {
    /// Ticks until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut outage = RetryLog::new("housekeeping");
        let mut seen = Seen::default();
        let mut next_tick = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next_tick) => {}
            }
            // Jittered, so that workers do not all tick at once.
            next_tick = Instant::now() + self.period.mul_f64(rand::random_range(0.75..1.25));
            match self.tick(&mut seen).await {
                Ok(()) => outage.healed(),
                Err(error) => {
                    outage.failed(&error);
                }
            }
        }
    }

    async fn tick(&mut self, seen: &mut Seen) -> Result<(), Error> {
        let queues = self.served.queues();
        for queue in &queues {
            self.metrics.record_timeout(queue.key().as_str(), queue.timeout);
            if let Some(health) = self.look(queue.key()).await? {
                self.report_abandoned(queue, &health, &mut seen.abandoned);
            }
            self.look(queue.group.dead_letters().key()).await?;
        }
        let names: HashSet<String> = queues.iter().map(|queue| queue.key().as_str().to_owned()).collect();
        for gone in seen.streams.difference(&names) {
            self.metrics.record_absent(gone);
        }
        seen.streams = names;
        self.look(&self.reply_stream.clone()).await?;
        if let Some(memory) = ServerMemory::read(&self.redis).await? {
            self.metrics.record_memory(&memory);
        }
        Ok(())
    }

    /// Reads and records the health of a stream; `None` if it does not exist.
    async fn look(&mut self, stream: &StreamKey) -> Result<Option<StreamHealth>, Error> {
        let health = StreamHealth::read(&self.redis, stream).await?;
        match &health {
            Some(health) => self.metrics.record(stream.as_str(), health, self.grace),
            None => self.metrics.record_absent(stream.as_str()),
        }
        Ok(health)
    }

    /// Trimming keeps every entry that a group has not read, so a group without live consumers stops it.
    fn report_abandoned(
        &self,
        queue: &ServedQueue,
        health: &StreamHealth,
        reported: &mut HashSet<(String, String)>,
    ) {
        let stream = queue.key().as_str();
        reported.retain(|(of, group)| {
            of != stream || health.groups.iter().any(|it| it.name == *group && it.is_abandoned(self.grace))
        });
        for group in health.groups.iter().filter(|group| group.is_abandoned(self.grace)) {
            if reported.insert((stream.to_owned(), group.name.clone())) {
                tracing::error!(
                    group = group.name,
                    stream,
                    "no consumer reads this group any more, so the entries that it has not read cannot be trimmed; start its workers or remove it with XGROUP DESTROY"
                );
            }
        }
    }
}

/// What the last ticks have seen.
#[derive(Default)]
struct Seen {
    /// The streams that were served.
    streams: HashSet<String>,
    /// The abandoned groups that were reported, with their streams.
    abandoned: HashSet<(String, String)>,
}
