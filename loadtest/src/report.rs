//! The report of a load, as text and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::caller::FailureKind;
use crate::tally::{Tally, Times};
use crate::{Mode, Options};

/// If 1 % of the requests or more leave later than this, the generator did not keep its rate: the
/// latencies contain its own delay.
pub const ON_TIME: Duration = Duration::from_millis(10);

/// The result of a load.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The gateway's address.
    pub url: String,
    /// How requests followed each other.
    pub mode: Mode,
    /// How many were in flight at once; absent in rate mode, which has no such limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u64>,
    /// How the rate was kept, in rate mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// How many were sent.
    pub requests: u64,
    /// Answers that were right.
    pub succeeded: u64,
    /// Requests without a right answer.
    pub failed: u64,
    /// From the first request to the last answer.
    pub elapsed_seconds: f64,
    /// Right answers per second.
    pub throughput_per_second: f64,
    /// Right answers that came before their deadline, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodput: Option<Goodput>,
    /// Latencies of the right answers; absent if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Failures by kind.
    pub failures: Vec<FailureCount>,
    /// Scheduled time of the last failed request, in seconds since the first request; absent if none failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_seconds: Option<f64>,
    /// The thresholds, which decide the exit code.
    pub thresholds: Vec<Threshold>,
}

/// How well an open loop kept its rate.
#[derive(Debug, Serialize)]
pub struct Pace {
    /// Requests per second that the user asked for.
    pub asked_per_second: f64,
    /// Requests per second that left.
    pub sent_per_second: f64,
    /// How much later than scheduled requests left.
    pub start_delay_ms: Latency,
    /// Whether 99 % of the requests left within [`ON_TIME`] of their scheduled time. If not, the load was
    /// lower than asked for, and the latencies contain the generator's own delay.
    pub kept: bool,
}

/// Right answers that came before their deadline.
#[derive(Debug, Serialize)]
pub struct Goodput {
    /// The deadline, counted from the scheduled time of a request.
    pub deadline_ms: f64,
    /// How many answers came before the deadline.
    pub in_time: u64,
    /// Such answers per second, over the time from the start to the last request or the last such answer.
    pub per_second: f64,
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
    /// Latencies of these requests.
    pub latency_ms: Latency,
    /// The text of one such failure.
    pub example: String,
}

/// A bound and whether the load kept it.
#[derive(Debug, Serialize)]
pub struct Threshold {
    /// The bound and what was measured.
    pub rule: String,
    /// Whether the bound was kept.
    pub met: bool,
}

impl Report {
    /// The report of a load that took `elapsed`.
    pub fn new(options: &Options, tally: Tally, elapsed: Duration) -> Self {
        let requests = tally.requests();
        let succeeded = tally.succeeded.0.len();
        let latency_ms = (succeeded > 0).then(|| Latency::of(&tally.succeeded));
        let failed = requests - succeeded;
        Self {
            url: options.url.to_string(),
            mode: options.mode,
            concurrency: options.rate.is_none().then(|| options.callers()),
            pace: options.rate.map(|rate| Pace::of(&tally, rate.per_second())),
            requests,
            succeeded,
            failed,
            elapsed_seconds: elapsed.as_secs_f64(),
            throughput_per_second: per_second(succeeded, elapsed),
            goodput: options.deadline.map(|deadline| Goodput::of(&tally, deadline.0)),
            thresholds: thresholds(options, requests, failed, latency_ms.as_ref()),
            latency_ms,
            last_failure_seconds: tally.last_failed.map(|last| last.as_secs_f64()),
            failures: tally.failures.into_iter().map(FailureCount::of).collect(),
        }
    }

    /// The count of failures of one kind.
    pub fn count_of(&self, kind: FailureKind) -> u64 {
        let kind = kind.to_string();
        self.failures.iter().filter(|failure| failure.kind == kind).map(|failure| failure.count).sum()
    }

    /// Whether every threshold was met.
    pub fn passed(&self) -> bool {
        self.thresholds.iter().all(|threshold| threshold.met)
    }
}

impl Pace {
    fn of(tally: &Tally, asked_per_second: f64) -> Self {
        // Each request takes one interval, also the last one.
        let sending = tally.last_sent.as_secs_f64() + 1.0 / asked_per_second;
        let late = Duration::from_micros(tally.start_delay.0.value_at_quantile(0.99));
        Self {
            asked_per_second,
            sent_per_second: tally.requests() as f64 / sending,
            start_delay_ms: Latency::of(&tally.start_delay),
            kept: late <= ON_TIME,
        }
    }
}

impl Goodput {
    fn of(tally: &Tally, deadline: Duration) -> Self {
        // The time of the answers alone would not be enough: a gateway that answers for one second and then
        // never again would have the same goodput as one that keeps answering.
        let over = tally.last_in_time.max(tally.last_sent);
        Self {
            deadline_ms: deadline.as_secs_f64() * 1_000.0,
            in_time: tally.in_time,
            per_second: per_second(tally.in_time, over),
        }
    }
}

impl Latency {
    fn of(times: &Times) -> Self {
        let at = |quantile| times.0.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }
}

impl FailureCount {
    fn of((kind, (times, example)): (FailureKind, (Times, String))) -> Self {
        Self { kind: kind.to_string(), count: times.0.len(), latency_ms: Latency::of(&times), example }
    }
}

fn thresholds(options: &Options, requests: u64, failed: u64, latency: Option<&Latency>) -> Vec<Threshold> {
    let allowed = options.max_error_rate;
    let errors = failed as f64 / requests.max(1) as f64;
    let mut thresholds = vec![Threshold {
        rule: format!("{:.2} % failed, at most {allowed} may fail", errors * 100.0),
        met: errors <= allowed.0,
    }];
    if let Some(bound) = options.p99_under {
        let bound_ms = bound.0.as_secs_f64() * 1_000.0;
        thresholds.push(Threshold {
            rule: match latency {
                Some(latency) => format!("p99 is {:.2} ms, it must be under {bound}", latency.p99),
                None => format!("p99 must be under {bound}, and there was no right answer"),
            },
            met: latency.is_some_and(|latency| latency.p99 < bound_ms),
        });
    }
    thresholds
}

fn per_second(count: u64, over: Duration) -> f64 {
    count as f64 / over.as_secs_f64().max(1e-6)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match (self.mode, &self.pace) {
            (_, Some(pace)) => format!("{} a second, answered or not", pace.asked_per_second),
            (Mode::Sequential, None) => "sequential".to_owned(),
            _ => format!("concurrent, {} in flight", self.concurrency.unwrap_or_default()),
        };
        writeln!(f, "gateway     {} ({mode})", self.url)?;
        let (requests, succeeded, failed) = (self.requests, self.succeeded, self.failed);
        writeln!(f, "requests    {requests}: {succeeded} succeeded, {failed} failed")?;
        let (throughput, elapsed) = (self.throughput_per_second, self.elapsed_seconds);
        writeln!(f, "throughput  {throughput:.1} answers/s over {elapsed:.2} s")?;
        if let Some(Goodput { deadline_ms, in_time, per_second }) = &self.goodput {
            writeln!(f, "goodput     {per_second:.1} answers/s; {in_time} came within {deadline_ms} ms")?;
        }
        if let Some(latency) = &self.latency_ms {
            writeln!(f, "latency ms  {latency}")?;
        }
        if let Some(Pace { sent_per_second, start_delay_ms, kept, .. }) = &self.pace {
            writeln!(f, "sent        {sent_per_second:.1} a second; late by ms  {start_delay_ms}")?;
            if !kept {
                writeln!(
                    f,
                    "WARNING     this machine did not keep the rate: latencies contain its own delay; \
                     lower the rate, or use a machine with more free CPU"
                )?;
            }
        }
        for (n, FailureCount { kind, count, latency_ms, example }) in self.failures.iter().enumerate() {
            let label = if n == 0 { "failures" } else { "" };
            writeln!(f, "{label:<11} {count} {kind}, such as: {example}")?;
            writeln!(f, "{:<11} in ms  {latency_ms}", "")?;
        }
        for Threshold { rule, .. } in self.thresholds.iter().filter(|threshold| !threshold.met) {
            writeln!(f, "missed      {rule}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50, p90, p99, p999, max } = self;
        write!(f, "p50 {p50:.2}   p90 {p90:.2}   p99 {p99:.2}   p99.9 {p999:.2}   max {max:.2}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::Outcome;

    fn late_by(start_delay: Duration) -> Report {
        let args = ["loadtest", "--mode", "rate", "--rate", "100", "--count", "50"];
        let options = Options::read(args).expect("valid");
        let start = Instant::now();
        let mut tally = Tally::new(start, None);
        for n in 0..50 {
            let intended = start + Duration::from_millis(10 * n);
            let latency = start_delay + Duration::from_millis(5);
            tally.record(Outcome { intended, start_delay, latency, result: Ok(()) });
        }
        Report::new(&options, tally, Duration::from_millis(500))
    }

    #[test]
    fn a_late_generator_is_reported() {
        for (delay, kept) in [(Duration::from_millis(1), true), (Duration::from_millis(20), false)] {
            let report = late_by(delay);

            let pace = report.pace.as_ref().expect("rate mode");
            assert_eq!(pace.kept, kept, "{delay:?}");
            assert_eq!(report.to_string().contains("WARNING     this machine"), !kept, "{report}");
            assert!((pace.start_delay_ms.p50 / delay.as_secs_f64() / 1_000.0 - 1.0).abs() < 0.01, "{pace:?}");
        }
    }

    #[test]
    fn a_generator_that_falls_behind_sends_less_than_asked() {
        let pace = |delay| late_by(delay).pace.expect("rate mode");

        assert!((pace(Duration::ZERO).sent_per_second - 100.0).abs() < 0.1);
        assert!(pace(Duration::from_millis(500)).sent_per_second < 51.0);
    }
}
