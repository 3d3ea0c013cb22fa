//! Counting outcomes as they come in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::caller::{FailureKind, Outcome};

/// The longest latency that is recorded; longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

/// The outcomes of a load so far.
#[derive(Debug)]
pub struct Tally {
    start: Instant,
    deadline: Option<Duration>,
    /// How many requests got a right answer, and before the deadline if there is one.
    pub(crate) in_time: u64,
    /// Latencies of the right answers.
    pub(crate) succeeded: Times,
    /// Latencies of the failed requests by kind, and the text of the first failure of each kind.
    pub(crate) failures: BTreeMap<FailureKind, (Times, String)>,
    /// How late requests left.
    pub(crate) start_delay: Times,
    /// Time from the start to when the last request left.
    pub(crate) last_sent: Duration,
    /// Time from the start to the last right answer that came before the deadline.
    pub(crate) last_in_time: Duration,
    /// Time from the start to the scheduled time of the last request that failed.
    pub(crate) last_failed: Option<Duration>,
}

impl Tally {
    /// The tally of a load that starts at `start`. `deadline` is the longest useful latency.
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

/// Times in microseconds, to three digits. The histogram grows with the longest time.
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
