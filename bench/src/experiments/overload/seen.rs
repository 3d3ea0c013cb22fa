//! What became of each load.

use serde::{Deserialize, Serialize};

use super::super::loadtest::Report;

/// `REQUEST_TIMEOUT` of the gateway, in seconds.
pub(super) const DEADLINE: f64 = 2.0;
/// What of the accepted requests may be late.
pub(super) const LATE_ACCEPTED: f64 = 0.01;

const REFUSED: [&str; 2] = ["http_429", "http_503"];
const TIMED_OUT: [&str; 1] = ["http_504"];

/// All loads of a trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in super::super) struct Seen {
    /// Answers per second in the closed loop.
    pub(super) capacity: f64,
    pub(super) steady: Vec<Run>,
    pub(super) burst: Run,
    pub(super) recovery: Run,
}

impl Seen {
    /// The highest goodput of the steady loads.
    pub(super) fn peak(&self) -> f64 {
        self.steady.iter().map(Run::goodput).fold(0.0, f64::max)
    }

    /// Every load.
    pub(super) fn all(&self) -> impl Iterator<Item = &Run> {
        self.steady.iter().chain([&self.burst, &self.recovery])
    }
}

/// The most that each took, in bytes; of several workers, the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    pub(super) ingress: u64,
    pub(super) proxy: u64,
    pub(super) redis: u64,
}

impl Memory {
    /// Of each, the larger.
    pub(super) fn most(self, other: Self) -> Self {
        Self {
            ingress: self.ingress.max(other.ingress),
            proxy: self.proxy.max(other.proxy),
            redis: self.redis.max(other.redis),
        }
    }

    /// In MiB, ingress, worker and Redis.
    pub(super) fn in_mib(self) -> String {
        let [ingress, proxy, redis] = [self.ingress, self.proxy, self.redis].map(|it| it as f64 / MIB as f64);
        format!("{ingress:.0} / {proxy:.0} / {redis:.0}")
    }
}

/// Bytes.
pub(super) const MIB: u64 = 1024 * 1024;

/// One load: its name, how much of the capacity was offered, and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) times: f64,
    pub(super) report: Report,
    pub(super) memory: Memory,
    /// How many entries the stream got meanwhile; unknown where loads overlap.
    pub(super) admitted: Option<u64>,
}

impl Run {
    pub(super) fn goodput(&self) -> f64 {
        self.report.goodput.map_or(0.0, |goodput| goodput.per_second)
    }

    /// Right answers within the deadline.
    pub(super) fn in_time(&self) -> u64 {
        self.report.goodput.map_or(0, |goodput| goodput.in_time)
    }

    /// What was put on the stream, also if a worker then dropped it with a 503, or nobody took it.
    pub(super) fn accepted(&self) -> u64 {
        self.admitted.unwrap_or_else(|| self.report.requests.saturating_sub(self.report.count(&REFUSED)))
    }

    /// What was not put on the stream.
    pub(super) fn refused(&self) -> u64 {
        match self.admitted {
            None => self.report.count(&REFUSED),
            Some(admitted) => self.report.requests.saturating_sub(admitted),
        }
    }

    /// Let in and answered 503 or 504, for want of time.
    pub(super) fn dropped(&self) -> u64 {
        (self.report.count(&REFUSED) + self.report.count(&TIMED_OUT)).saturating_sub(self.refused())
    }

    /// Accepted, and no right answer within the deadline.
    pub(super) fn late(&self) -> u64 {
        self.accepted().saturating_sub(self.in_time())
    }

    /// The share of the accepted requests that were late.
    pub(super) fn late_share(&self) -> f64 {
        self.late() as f64 / self.accepted().max(1) as f64
    }

    /// No answer at all, or one that says nothing.
    pub(super) fn unknown(&self) -> u64 {
        let said = self.report.count(&REFUSED) + self.report.count(&TIMED_OUT);
        self.report.failed.saturating_sub(said)
    }

    /// In ms. Those that a worker dropped with the same status make it worse, never better.
    pub(super) fn refusal_p50(&self) -> Option<f64> {
        if self.refused() == 0 {
            return None;
        }
        let refusals = self.report.failures.iter().filter(|it| REFUSED.contains(&it.kind.as_str()));
        refusals.map(|failure| failure.latency_ms.p50).reduce(f64::max)
    }

    /// How late the generator was, p99 in ms.
    pub(super) fn late_sends(&self) -> f64 {
        self.report.pace.map_or(0.0, |pace| pace.start_delay_ms.p99)
    }
}
