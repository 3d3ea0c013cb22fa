//! What happened: counted while the load runs, then printed for people or for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::caller::{FailureKind, Outcome};
use crate::{Mode, Options};

/// Longest latency told apart, in microseconds: longer ones count as this.
const LONGEST_US: u64 = 3_600_000_000;

/// The outcomes one caller has seen. Each caller has its own, so counting costs no lock.
#[derive(Debug)]
pub struct Tally {
    succeeded: u64,
    latency_us: Histogram<u64>,
    failures: BTreeMap<FailureKind, (u64, String)>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency_us = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("constant bounds are valid");
        Self { succeeded: 0, latency_us, failures: BTreeMap::new() }
    }
}

impl Tally {
    /// Counts one outcome.
    pub fn record(&mut self, outcome: Outcome) {
        match outcome.result {
            Ok(()) => {
                self.succeeded += 1;
                let us = u64::try_from(outcome.latency.as_micros()).unwrap_or(u64::MAX);
                self.latency_us.saturating_record(us);
            }
            Err(failure) => self.failures.entry(failure.kind).or_insert((0, failure.detail)).0 += 1,
        }
    }

    /// Takes in what another caller has seen.
    pub fn add(&mut self, other: Self) {
        self.succeeded += other.succeeded;
        self.latency_us.add(&other.latency_us).expect("all tallies have the same bounds");
        for (kind, (count, example)) in other.failures {
            self.failures.entry(kind).or_insert((0, example)).0 += count;
        }
    }
}

/// The result of a load.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The gateway's address.
    pub url: String,
    /// How requests followed each other.
    pub mode: Mode,
    /// How many were in flight at once.
    pub concurrency: u64,
    /// How many were sent.
    pub requests: u64,
    /// Answers that were right.
    pub succeeded: u64,
    /// Everything else.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed_seconds: f64,
    /// Right answers per second.
    pub throughput_per_second: f64,
    /// Latencies of the right answers; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
}

/// Latency percentiles in milliseconds.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// Half of the answers took no longer.
    pub p50: f64,
    /// 90 % took no longer.
    pub p90: f64,
    /// 99 % took no longer.
    pub p99: f64,
    /// 99.9 % took no longer.
    #[serde(rename = "p99.9")]
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

/// How often one kind of failure happened.
#[derive(Debug, Serialize)]
pub struct FailureCount {
    /// [`FailureKind`] as text.
    pub kind: String,
    /// How many requests failed this way.
    pub count: u64,
    /// What one of them said.
    pub example: String,
}

impl Report {
    /// The report of a load that took `elapsed`.
    pub fn new(options: &Options, tally: Tally, elapsed: Duration) -> Self {
        let failures: Vec<_> = tally
            .failures
            .into_iter()
            .map(|(kind, (count, example))| FailureCount { kind: kind.to_string(), count, example })
            .collect();
        let failed = failures.iter().map(|failure| failure.count).sum();
        Self {
            url: options.url.to_string(),
            mode: options.mode,
            concurrency: options.callers(),
            requests: tally.succeeded + failed,
            succeeded: tally.succeeded,
            failed,
            elapsed_seconds: elapsed.as_secs_f64(),
            throughput_per_second: tally.succeeded as f64 / elapsed.as_secs_f64().max(1e-6),
            latency_ms: (tally.succeeded > 0).then(|| Latency::of(&tally.latency_us)),
            failures,
        }
    }

    /// The count of failures of one kind.
    pub fn count_of(&self, kind: FailureKind) -> u64 {
        let kind = kind.to_string();
        self.failures.iter().filter(|failure| failure.kind == kind).map(|failure| failure.count).sum()
    }
}

impl Latency {
    fn of(us: &Histogram<u64>) -> Self {
        let at = |quantile| us.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: us.max() as f64 / 1_000.0 }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            Mode::Sequential => "sequential".to_owned(),
            Mode::Concurrent => format!("concurrent, {} in flight", self.concurrency),
        };
        writeln!(f, "gateway     {} ({mode})", self.url)?;
        let (requests, succeeded, failed) = (self.requests, self.succeeded, self.failed);
        writeln!(f, "requests    {requests}: {succeeded} succeeded, {failed} failed")?;
        writeln!(
            f,
            "throughput  {:.1} answers/s over {:.2} s",
            self.throughput_per_second, self.elapsed_seconds
        )?;
        if let Some(Latency { p50, p90, p99, p999, max }) = &self.latency_ms {
            writeln!(
                f,
                "latency ms  p50 {p50:.2}   p90 {p90:.2}   p99 {p99:.2}   p99.9 {p999:.2}   max {max:.2}"
            )?;
        }
        for (n, FailureCount { kind, count, example }) in self.failures.iter().enumerate() {
            let label = if n == 0 { "failures" } else { "" };
            writeln!(f, "{label:<11} {count} {kind}, such as: {example}")?;
        }
        Ok(())
    }
}
