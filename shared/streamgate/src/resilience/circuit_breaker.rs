use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When a breaker opens and how it closes again.
#[derive(Debug, Clone, Copy)]
pub struct BreakerSettings {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// How long it refuses calls before it lets a probe pass.
    pub open_for: Duration,
    /// The most probes at once while half open; at least 1.
    pub probes: u32,
}

impl Default for BreakerSettings {
    /// Five failures in a row open it for one second; then one probe at a time passes.
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(1), probes: 1 }
    }
}

/// What a breaker does with the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// A few calls pass as probes.
    HalfOpen,
    /// Calls are refused at once.
    Open,
}

impl BreakerState {
    /// The state as metrics carry it: 0 closed, 1 half open, 2 open.
    pub fn gauge(self) -> f64 {
        match self {
            Self::Closed => 0.0,
            Self::HalfOpen => 1.0,
            Self::Open => 2.0,
        }
    }

    /// The state as health answers name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }
}

/// The breaker is open: the caller must not call, and fails at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open; the next probe is due in {retry_after:?}")]
pub struct CircuitOpen {
    /// How long until a probe may pass.
    pub retry_after: Duration,
}

/// Stops calls to a dependency that keeps failing, and probes until it works again.
///
/// Failures in a row open it. After `open_for` it lets probes pass: a probe that succeeds closes
/// it, a probe that fails opens it again. Clones share one state. It counts failures in a row and
/// not a rate, because its dependencies (one Redis, one upstream) either fail on every call or hardly ever.
/// Source of the pattern: M. Nygard, "Release It!", chapter "Circuit Breaker".
#[derive(Debug, Clone)]
pub struct CircuitBreaker {
    settings: BreakerSettings,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    failures: u32,
    opened_at: Option<Instant>,
    probes_under_way: u32,
}

impl CircuitBreaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        let inner = Inner { failures: 0, opened_at: None, probes_under_way: 0 };
        Self { settings, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Asks to make one call. The caller reports the result to the pass. If the pass is dropped without a result (the
    /// call was cancelled), it counts neither as success nor as failure.
    ///
    /// # Errors
    /// The breaker is open, or half open with all its probes under way.
    pub fn try_pass(&self) -> Result<Pass, CircuitOpen> {
        let mut inner = self.lock();
        let Some(opened_at) = inner.opened_at else {
            return Ok(Pass { breaker: self.clone(), probe: false });
        };
        let retry_after = self.settings.open_for.saturating_sub(opened_at.elapsed());
        if !retry_after.is_zero() || inner.probes_under_way >= self.settings.probes {
            return Err(CircuitOpen { retry_after });
        }
        inner.probes_under_way += 1;
        Ok(Pass { breaker: self.clone(), probe: true })
    }

    /// Records a success and closes the breaker.
    pub fn succeeded(&self) {
        let mut inner = self.lock();
        inner.failures = 0;
        inner.opened_at = None;
    }

    /// Records a failure. Opens the breaker after enough failures in a row, or again if a probe failed.
    pub fn failed(&self) {
        let mut inner = self.lock();
        inner.failures = inner.failures.saturating_add(1);
        if inner.failures >= self.settings.failures {
            inner.opened_at = Some(Instant::now());
        }
    }

    /// The state that the next call would find.
    pub fn state(&self) -> BreakerState {
        match self.lock().opened_at {
            None => BreakerState::Closed,
            Some(opened_at) if opened_at.elapsed() < self.settings.open_for => BreakerState::Open,
            Some(_) => BreakerState::HalfOpen,
        }
    }

    /// How long until a probe may pass; zero unless the breaker is open.
    pub fn time_to_probe(&self) -> Duration {
        let opened_at = self.lock().opened_at;
        opened_at.map_or(Duration::ZERO, |at| self.settings.open_for.saturating_sub(at.elapsed()))
    }

    /// True while as many probes are under way as may be.
    pub fn is_probing(&self) -> bool {
        self.lock().probes_under_way >= self.settings.probes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one call through a [`CircuitBreaker`].
#[derive(Debug)]
#[must_use = "report the result of the call"]
pub struct Pass {
    breaker: CircuitBreaker,
    probe: bool,
}

impl Pass {
    /// The call succeeded.
    pub fn succeeded(self) {
        self.breaker.succeeded();
    }

    /// True if the breaker was half open: the result of this call closes it or opens it again.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// The call failed because of the dependency.
    pub fn failed(self) {
        self.breaker.failed();
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.probe {
            let mut inner = self.breaker.lock();
            inner.probes_under_way = inner.probes_under_way.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> CircuitBreaker {
        CircuitBreaker::new(BreakerSettings { failures: 3, open_for: Duration::from_secs(1), probes: 1 })
    }

    fn open(breaker: &CircuitBreaker) {
        for _ in 0..3 {
            breaker.try_pass().expect("closed").failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it_but_a_success_resets_the_count() {
        let breaker = breaker();

        breaker.failed();
        breaker.failed();
        breaker.succeeded();
        breaker.failed();
        assert_eq!(breaker.state(), BreakerState::Closed);

        breaker.failed();
        breaker.failed();
        assert_eq!(breaker.state(), BreakerState::Open);
        assert_eq!(breaker.try_pass().expect_err("open").retry_after, Duration::from_secs(1));
        assert_eq!(breaker.time_to_probe(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_succeeds_closes_it() {
        let breaker = breaker();
        open(&breaker);

        tokio::time::advance(Duration::from_secs(1)).await;
        let probe = breaker.try_pass().expect("a probe may pass");
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        assert!(probe.is_probe() && breaker.is_probing());
        assert!(breaker.try_pass().is_err(), "one probe at a time");
        probe.succeeded();

        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again() {
        let breaker = breaker();
        open(&breaker);

        tokio::time::advance(Duration::from_secs(1)).await;
        breaker.try_pass().expect("a probe may pass").failed();

        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_probe_makes_room_for_the_next() {
        let breaker = breaker();
        open(&breaker);
        tokio::time::advance(Duration::from_secs(1)).await;

        drop(breaker.try_pass().expect("a probe may pass"));

        assert!(breaker.try_pass().is_ok());
    }
}
