use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamgate::resilience::{BreakerSettings, BreakerState, CircuitBreaker, CircuitOpen, Pass};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a queue may look for an entry to probe with, before another queue may.
const SEARCH: Duration = Duration::from_millis(250);

/// The breaker of an upstream. It judges the last requests by their share of failures. While it is open, the queues of
/// the upstream take no entries; while it is half open, one entry is taken as a probe.
#[derive(Debug)]
pub struct Breaker {
    /// Opens at once when it is told of a failure: this breaker decides when that is.
    circuit: CircuitBreaker,
    /// The number of requests that are judged.
    of: usize,
    /// The number of failures among them that opens the breaker.
    failures: usize,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether the last requests failed, the oldest first.
    failed: VecDeque<bool>,
    /// The queue that looks for an entry to probe with, and until when.
    searching: Option<(u64, Instant)>,
}

/// Through what a queue takes entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The breaker is closed.
    Open,
    /// The breaker is half open: one entry, at once.
    Probe,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(rules: routes::Breaker) -> Arc<Self> {
        let settings = BreakerSettings { failures: 1, open_for: rules.open, probes: 1 };
        let of = rules.of.max(1) as usize;
        Arc::new(Self {
            circuit: CircuitBreaker::new(settings),
            of,
            failures: (of * usize::from(rules.failures)).div_ceil(100).max(1),
            inner: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// The state that the next request would find.
    pub fn state(&self) -> BreakerState {
        self.circuit.state()
    }

    /// How long until a probe may pass; zero unless the breaker is open.
    pub fn time_to_probe(&self) -> Duration {
        self.circuit.time_to_probe()
    }

    /// Asks to send one request.
    ///
    /// # Errors
    /// The breaker is open, or half open with a probe under way.
    pub fn try_pass(self: &Arc<Self>) -> Result<Judged, CircuitOpen> {
        let pass = self.circuit.try_pass()?;
        Ok(Judged { pass: Some(pass), breaker: Arc::clone(self) })
    }

    /// Waits until `queue` may take entries.
    pub async fn door(&self, queue: u64) -> Door {
        loop {
            let changed = self.changed.notified();
            let wait = match self.circuit.state() {
                BreakerState::Closed => return Door::Open,
                BreakerState::Open => self.circuit.time_to_probe().max(Duration::from_millis(1)),
                BreakerState::HalfOpen => match self.search(queue) {
                    None => return Door::Probe,
                    Some(wait) => wait,
                },
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits until the breaker is not closed.
    pub async fn shut(&self) {
        loop {
            let changed = self.changed.notified();
            if self.circuit.state() != BreakerState::Closed {
                return;
            }
            changed.await;
        }
    }

    /// Lets `queue` look for an entry to probe with; otherwise how long until it may ask again.
    fn search(&self, queue: u64) -> Option<Duration> {
        if self.circuit.is_probing() {
            return Some(SEARCH);
        }
        let (mut inner, now) = (self.lock(), Instant::now());
        match inner.searching {
            Some((other, until)) if until > now && other != queue => Some(until - now),
            _ => {
                inner.searching = Some((queue, now + SEARCH));
                None
            }
        }
    }

    /// `queue` has found no entry: another one may look.
    pub fn found_nothing(&self, queue: u64) {
        let mut inner = self.lock();
        if inner.searching.is_some_and(|(searching, _)| searching == queue) {
            inner.searching = None;
            drop(inner);
            self.changed.notify_waiters();
        }
    }

    /// Makes everybody who waits look again: this breaker is replaced.
    pub fn retire(&self) {
        self.changed.notify_waiters();
    }

    fn judge(&self, pass: Pass, failed: bool) {
        let mut inner = self.lock();
        if pass.is_probe() {
            (inner.failed, inner.searching) = (VecDeque::new(), None);
            if failed { pass.failed() } else { pass.succeeded() }
        } else if self.circuit.state() == BreakerState::Closed {
            if inner.failed.len() == self.of {
                inner.failed.pop_front();
            }
            inner.failed.push_back(failed);
            if inner.failed.iter().filter(|failed| **failed).count() < self.failures {
                return;
            }
            inner.failed.clear();
            pass.failed();
        } else {
            // It was sent before the breaker opened, so it says nothing new.
            return;
        }
        drop(inner);
        self.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that the breaker judges. Without a verdict it counts neither as success nor as failure.
#[derive(Debug)]
#[must_use = "tell the breaker how the request ended"]
pub struct Judged {
    pass: Option<Pass>,
    breaker: Arc<Breaker>,
}

impl Judged {
    /// The upstream failed, or it did not.
    pub fn ended(mut self, failed: bool) {
        if let Some(pass) = self.pass.take() {
            self.breaker.judge(pass, failed);
        }
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take()
            && pass.is_probe()
        {
            drop(pass);
            self.breaker.lock().searching = None;
            self.breaker.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Duration = Duration::from_secs(10);

    fn breaker(failures: u8, of: u32) -> Arc<Breaker> {
        Breaker::new(routes::Breaker { failures, of, open: OPEN })
    }

    fn send(breaker: &Arc<Breaker>, failed: bool) {
        breaker.try_pass().expect("closed").ended(failed);
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_the_last_twenty_open_it() {
        let breaker = breaker(50, 20);
        for _ in 0..9 {
            send(&breaker, true);
            send(&breaker, false);
        }
        for _ in 0..12 {
            send(&breaker, false);
        }
        for _ in 0..5 {
            assert_eq!(breaker.state(), BreakerState::Closed);
            send(&breaker, true);
        }
        assert_eq!(breaker.state(), BreakerState::Closed, "4 of the failures before are too old");

        for _ in 0..5 {
            send(&breaker, true);
        }

        assert_eq!(breaker.state(), BreakerState::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn one_queue_probes_at_a_time() {
        let breaker = breaker(100, 1);
        send(&breaker, true);
        tokio::time::advance(OPEN).await;

        assert_eq!(breaker.door(1).await, Door::Probe);
        let other = tokio::spawn({
            let breaker = Arc::clone(&breaker);
            async move { breaker.door(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!other.is_finished(), "queue 1 looks for an entry");
        breaker.found_nothing(1);
        assert_eq!(other.await.expect("joins"), Door::Probe);

        let probe = breaker.try_pass().expect("a probe may pass");
        assert!(breaker.try_pass().is_err());
        probe.ended(false);
        assert_eq!(breaker.door(1).await, Door::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_looks_too_long_gives_way() {
        let breaker = breaker(100, 1);
        send(&breaker, true);
        tokio::time::advance(OPEN).await;
        assert_eq!(breaker.door(1).await, Door::Probe);

        assert_eq!(breaker.door(2).await, Door::Probe, "after a while");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_sent_before_it_opened_change_nothing() {
        let breaker = breaker(100, 1);
        let [slow, late] = [(); 2].map(|()| breaker.try_pass().expect("closed"));
        send(&breaker, true);

        slow.ended(false);
        assert_eq!(breaker.state(), BreakerState::Open);
        tokio::time::advance(OPEN / 2).await;
        late.ended(true);

        assert_eq!(breaker.time_to_probe(), OPEN / 2);
    }
}
