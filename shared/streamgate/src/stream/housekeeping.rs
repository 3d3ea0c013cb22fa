//! What every worker and reader does for its stream: it trims finished entries and removes consumers that died long
//! ago.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ConsumerGroup, Retention, Trimmed, Trimmer};
use crate::connection::{Error, RetryLog};

/// How a worker keeps its stream short.
#[derive(Debug, Clone, Copy)]
pub struct HousekeepingSettings {
    /// How many finished entries stay on the request stream.
    pub retention: Retention,
    /// How often the stream is trimmed.
    pub period: Duration,
}

impl Default for HousekeepingSettings {
    fn default() -> Self {
        Self { retention: Retention::default(), period: Duration::from_secs(5) }
    }
}

/// Trims and reaps periodically. Any number of workers may do this at the same time, so no leader is needed.
pub(crate) struct Housekeeping {
    group: ConsumerGroup,
    trimmer: Trimmer,
    period: Duration,
    /// True while the warning that the stream's nodes are too large has been logged.
    warned: bool,
}

impl Housekeeping {
    /// With `delays`, a group of the stream may delay entries.
    pub(crate) fn new(group: ConsumerGroup, settings: HousekeepingSettings, delays: bool) -> Self {
        let trimmer =
            Trimmer::new(group.redis().clone(), group.settings().stream.clone(), settings.retention);
        let trimmer = if delays { trimmer } else { trimmer.without_delays() };
        Self { group, trimmer, period: settings.period, warned: false }
    }

    /// Ticks until `stop`, and trims early after many bytes were acknowledged.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let (mut ticking, mut trimming) = (RetryLog::new("housekeeping"), RetryLog::new("trimming"));
        let mut next_tick = Instant::now();
        loop {
            let (outage, done) = tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep_until(next_tick) => {
                    // Jittered, so that workers do not all tick at once.
                    next_tick = Instant::now() + self.period.mul_f64(rand::random_range(0.75..1.25));
                    (&mut ticking, self.tick().await)
                }
                () = self.group.trim_is_due() => (&mut trimming, self.trim().await),
            };
            match done {
                Ok(()) => outage.healed(),
                Err(error) => {
                    outage.failed(&error);
                }
            }
        }
    }

    async fn tick(&mut self) -> Result<(), Error> {
        self.trim().await?;
        for consumer in self.group.reap().await? {
            tracing::info!(consumer, "removed a consumer that was silent for long and held no entries");
        }
        Ok(())
    }

    async fn trim(&mut self) -> Result<(), Error> {
        let trimmed = self.trimmer.trim().await?;
        self.group.metrics().trimmed.increment(trimmed.removed);
        self.report(&trimmed);
        Ok(())
    }

    fn report(&mut self, trimmed: &Trimmed) {
        let too_large = trimmed.nodes_are_too_large();
        if too_large && !self.warned {
            tracing::warn!(
                stream = %self.group.settings().stream,
                wanted = trimmed.wanted,
                excess = trimmed.excess,
                entries_per_node = trimmed.per_node,
                "finished requests cannot be trimmed: Redis removes whole nodes only, and one node holds more than the excess; lower stream-node-max-entries and stream-node-max-bytes on the server (defaults: 100 and 4096)"
            );
        }
        self.warned = too_large;
    }
}
