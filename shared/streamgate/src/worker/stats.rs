use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use metrics::Counter;

use crate::stream::{Disposition, GroupSettings};
use crate::telemetry::{Declare, Times};

/// What one worker has done since its start.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WorkerStats {
    /// The worker's name in its group.
    pub consumer: String,
    /// Entries whose handler succeeded.
    pub processed: u64,
    /// Times that a handler failed, panicked or took too long.
    pub failed: u64,
    /// Entries that are to be tried again after a delay.
    pub retried: u64,
    /// Entries that are to become dead letters.
    pub dead_lettered: u64,
    /// Mean time in the handler.
    pub mean: Duration,
    /// The time within which 99 of 100 handlers ended, or up to an eighth less.
    pub p99: Duration,
    /// The last failure.
    pub last_error: Option<Moment<String>>,
    /// The last success.
    pub last_success: Option<Moment<()>>,
}

/// Something that happened, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment<T> {
    /// Unix milliseconds in the server's clock.
    pub at_ms: u64,
    /// What happened.
    pub what: T,
}

/// A view of a worker's [`WorkerStats`] while it runs.
#[derive(Clone)]
pub struct Stats(Arc<Mutex<Counted>>);

struct Counted {
    stats: WorkerStats,
    times: Times,
    handled: Counter,
    failures: Counter,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Counted {
            stats: WorkerStats::default(),
            times: Times::new(),
            handled: Counter::noop(),
            failures: Counter::noop(),
        })))
    }

    /// What the worker has done until now.
    pub fn get(&self) -> WorkerStats {
        self.with(|counted| WorkerStats {
            mean: counted.times.mean(),
            p99: counted.times.quantile(0.99),
            ..counted.stats.clone()
        })
    }

    /// Declares the metrics of the handler on the current recorder.
    pub(super) fn declare(&self, group: &GroupSettings) {
        let declare = Declare::labelled(&group.labels());
        self.with(|counted| {
            counted.handled = declare.counter("streamgate_handled_total", "Entries whose handler succeeded");
            counted.failures = declare.counter(
                "streamgate_handler_failures_total",
                "Times that a handler failed, panicked or took too long",
            );
        });
    }

    pub(super) fn joined(&self, consumer: &str) {
        self.with(|counted| consumer.clone_into(&mut counted.stats.consumer));
    }

    pub(super) fn ended(&self, spent: Duration, at_ms: u64, failure: Option<&str>) {
        self.with(|counted| {
            counted.times.record(spent);
            match failure {
                None => {
                    counted.handled.increment(1);
                    counted.stats.processed += 1;
                    counted.stats.last_success = Some(Moment { at_ms, what: () });
                }
                Some(error) => {
                    counted.failures.increment(1);
                    counted.stats.failed += 1;
                    counted.stats.last_error = Some(Moment { at_ms, what: error.to_owned() });
                }
            }
        });
    }

    pub(super) fn concluded(&self, disposition: &Disposition) {
        match disposition {
            Disposition::RetryAfter(_) => self.with(|counted| counted.stats.retried += 1),
            Disposition::DeadLetter(_) => self.with(|counted| counted.stats.dead_lettered += 1),
            Disposition::Acknowledge | Disposition::HandBack => {}
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Counted) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
