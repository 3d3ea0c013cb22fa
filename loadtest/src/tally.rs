//! Counting outcomes as they come in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::caller::{FailureKind, Outcome};

/// Longest latency told apart: longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

/// The outcomes of a load so far.
#[derive(Debug)]
pub struct Tally {
    start: Instant,
    deadline: Option<Duration>,
    /// How many requests were right, and in time if there is a deadline.
    pub(crate) in_time: u64,
    /// Latencies of the right answers.
    pub(crate) succeeded: Times,
    /// Latencies of the rest and what the first of a kind said.
    pub(crate) failures: BTreeMap<FailureKind, (Times, String)>,
    /// How late requests left.
    pub(crate) start_delay: Times,
    /// When the last request left, since the start.
    pub(crate) last_sent: Duration,
    /// When the last right answer came that was in time, since the start.
    pub(crate) last_in_time: Duration,
    /// When the last request was to leave that failed, since the start.
    pub(crate) last_failed: Option<Duration>,
}

impl Tally {
    /// Of a load that starts at `start` and whose answers are of use until `deadline`.
    pub fn new(start: Instant, deadline: Option<Duration>) -> Self {
        Self {
            start,
            deadline,
            in_time: 0,
            succeeded: Times::default(),
            failures: BTreeMap::new(),
            start_delay: Times::default(),
            last_sent: Duration::ZERO,
            last_in_time: Duration::ZERO,
            last_failed: None,
        }
    }

    /// Counts one outcome.
    pub fn record(&mut self, outcome: Outcome) {
        let intended = outcome.intended.saturating_duration_since(self.start);
        self.start_delay.record(outcome.start_delay);
        self.last_sent = self.last_sent.max(intended + outcome.start_delay);
        match outcome.result {
            Ok(()) => {
                self.succeeded.record(outcome.latency);
                if self.deadline.is_none_or(|deadline| outcome.latency <= deadline) {
                    self.in_time += 1;
                    self.last_in_time = self.last_in_time.max(intended + outcome.latency);
                }
            }
            Err(failure) => {
                let of_kind = self.failures.entry(failure.kind);
                of_kind.or_insert((Times::default(), failure.detail)).0.record(outcome.latency);
                self.last_failed = self.last_failed.max(Some(intended));
            }
        }
    }

    /// How many outcomes were counted.
    pub fn requests(&self) -> u64 {
        self.start_delay.0.len()
    }
}

/// Times in microseconds, to three digits. Grows with the longest one recorded.
#[derive(Debug)]
pub(crate) struct Times(pub(crate) Histogram<u64>);

impl Times {
    fn record(&mut self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(LONGEST_US);
        self.0.record(us).expect("it grows up to the longest");
    }
}

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }
}
