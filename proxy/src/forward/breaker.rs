use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streamgate::resilience::{BreakerSettings, BreakerState, CircuitBreaker, CircuitOpen, Pass};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a queue may look for an entry to probe with, before another queue may.
const SEARCH: Duration = Duration::from_millis(250);

/// The shortest and the longest wait for an entry to probe with.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);
const LONGEST_LOOK: Duration = Duration::from_millis(20);

/// So many looks have the same length.
const LOOKS: u32 = 8;

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
    /// The queue that looks for an entry to probe with, and until when. `None` in place of the queue: one has found an
    /// entry, whose probe has not started yet.
    searching: Option<(Option<u64>, Instant)>,
    /// How often no entry was found since the breaker opened.
    fruitless: u32,
    /// The queues that wait to take entries, in their order: the first may look first.
    waiting: VecDeque<u64>,
}

impl Inner {
    /// The breaker has opened or closed.
    fn start_again(&mut self) {
        self.failed.clear();
        (self.searching, self.fruitless) = (None, 0);
    }
}

/// Through what a queue takes entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The breaker is closed.
    Open,
    /// The breaker is half open: one entry, and the longest wait for it.
    Probe(Duration),
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
        if self.circuit.state() == BreakerState::Closed {
            return Door::Open;
        }
        let _place = Place::of(self, queue);
        loop {
            let changed = self.changed.notified();
            let wait = match self.circuit.state() {
                BreakerState::Closed => return Door::Open,
                BreakerState::Open => self.circuit.time_to_probe().max(Duration::from_millis(1)),
                BreakerState::HalfOpen => match self.search(queue) {
                    Ok(patience) => return Door::Probe(patience),
                    Err(wait) => wait,
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

    /// Lets `queue` look for an entry to probe with, so long; otherwise how long until it may ask again.
    fn search(&self, queue: u64) -> Result<Duration, Duration> {
        if self.circuit.is_probing() {
            return Err(SEARCH);
        }
        let (mut inner, now) = (self.lock(), Instant::now());
        match inner.searching {
            Some((other, until)) if until > now && other != Some(queue) => Err(until - now),
            _ if inner.waiting.front().is_some_and(|first| *first != queue) => Err(SEARCH),
            _ => {
                inner.searching = Some((Some(queue), now + SEARCH));
                // At first each queue has a short look. If no entry waits anywhere, the looks get rarer.
                Ok((SHORTEST_LOOK * (1 + inner.fruitless / LOOKS)).min(LONGEST_LOOK))
            }
        }
    }

    /// `queue` has looked for an entry. If it found none, another one may look.
    pub fn looked(&self, queue: u64, found: bool) {
        let mut inner = self.lock();
        if inner.searching.is_none_or(|(searching, _)| searching != Some(queue)) {
            return;
        }
        if found {
            inner.searching = Some((None, Instant::now() + SEARCH));
        } else {
            (inner.searching, inner.fruitless) = (None, inner.fruitless.saturating_add(1));
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
            inner.start_again();
            if failed { pass.failed() } else { pass.succeeded() }
        } else if self.circuit.state() == BreakerState::Closed {
            if inner.failed.len() == self.of {
                inner.failed.pop_front();
            }
            inner.failed.push_back(failed);
            if inner.failed.iter().filter(|failed| **failed).count() < self.failures {
                return;
            }
            inner.start_again();
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

/// The place of a queue among those that wait; it is left when this is dropped.
struct Place<'a> {
    breaker: &'a Breaker,
    queue: u64,
}

impl<'a> Place<'a> {
    fn of(breaker: &'a Breaker, queue: u64) -> Self {
        breaker.lock().waiting.push_back(queue);
        Self { breaker, queue }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.breaker.lock().waiting.retain(|queue| *queue != self.queue);
        self.breaker.changed.notify_waiters();
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

        assert_eq!(breaker.door(1).await, Door::Probe(SHORTEST_LOOK));
        let other = tokio::spawn({
            let breaker = Arc::clone(&breaker);
            async move { breaker.door(2).await }
        });
        tokio::task::yield_now().await;
        assert!(!other.is_finished(), "queue 1 looks for an entry");
        breaker.looked(1, false);
        assert_eq!(other.await.expect("joins"), Door::Probe(SHORTEST_LOOK));
        breaker.looked(2, true);
        assert!(breaker.search(2).is_err(), "its entry comes first");

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
        assert_eq!(breaker.door(1).await, Door::Probe(SHORTEST_LOOK));

        assert_eq!(breaker.door(2).await, Door::Probe(SHORTEST_LOOK), "after a while");
    }

    #[tokio::test(start_paused = true)]
    async fn every_queue_looks_in_its_turn() {
        let breaker = breaker(100, 1);
        send(&breaker, true);
        tokio::time::advance(OPEN).await;
        let looks = Arc::new(Mutex::new(Vec::new()));
        let queues: Vec<_> = (0..3)
            .map(|queue| {
                let (breaker, looks) = (Arc::clone(&breaker), Arc::clone(&looks));
                tokio::spawn(async move {
                    for _ in 0..4 {
                        breaker.door(queue).await;
                        looks.lock().expect("no panic").push(queue);
                        breaker.looked(queue, false);
                        // A read of Redis takes longer.
                        tokio::task::yield_now().await;
                    }
                })
            })
            .collect();
        for queue in queues {
            queue.await.expect("joins");
        }

        let mut looks = looks.lock().expect("no panic").clone();
        looks.chunks_mut(3).for_each(<[u64]>::sort_unstable);
        assert_eq!(looks, [0, 1, 2].repeat(4), "none looks twice before the others");
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
