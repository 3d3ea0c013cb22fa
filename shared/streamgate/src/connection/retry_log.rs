use std::time::Duration;

use tokio::time::Instant;

use crate::resilience::Backoff;

/// Logs an outage once at its start and once at its end, and gives the pause before each retry.
#[derive(Debug)]
pub struct RetryLog {
    part: &'static str,
    since: Option<Instant>,
    backoff: Backoff,
}

/// The first pause of an outage is about this long.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// No pause is longer: recovery is noticed within a second.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl RetryLog {
    /// No outage yet, for the part of the process called `part` in logs.
    pub fn new(part: &'static str) -> Self {
        Self { part, since: None, backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE) }
    }

    /// Records a failure; returns how long to pause before the next try.
    pub fn failed(&mut self, error: &(impl std::fmt::Display + ?Sized)) -> Duration {
        if self.since.is_none() {
            self.since = Some(Instant::now());
            tracing::warn!(part = self.part, %error, "failing; will retry until it works");
        } else {
            tracing::debug!(part = self.part, %error, attempt = self.backoff.attempts(), "still failing");
        }
        self.backoff.next_delay()
    }

    /// Number of failures since the last success.
    pub fn failures(&self) -> u32 {
        self.backoff.attempts()
    }

    /// Records that the failed operation has succeeded, which ends the outage. The success of another operation must
    /// not end it.
    pub fn healed(&mut self) {
        if let Some(since) = self.since.take() {
            self.backoff.reset();
            tracing::info!(part = self.part, outage_ms = since.elapsed().as_millis() as u64, "works again");
        }
    }
}
