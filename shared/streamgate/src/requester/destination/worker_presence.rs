//! Whether a worker is alive, as far as a requester knows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::metrics::DestinationMetrics;
use super::super::pending::PendingReplies;
use super::super::settings::WorkerGroup;
use super::take_back::TakeBack;
use crate::connection::{Error, Redis, RetryLog};
use crate::stream::{ConsumerHealth, GroupHealth, StreamKey};

/// Watches the workers of one group: once a second, and more often while none is alive.
pub(in super::super) struct WorkerPresence {
    group: WorkerGroup,
    view: Mutex<View>,
}

struct View {
    /// When the group was last read with success.
    read_at: Option<Instant>,
    alive: usize,
    /// The last moment at which a worker was certainly alive. At first, the moment at which this process started to
    /// watch.
    last_alive: Instant,
    /// True if this process has seen a consumer, alive or not.
    seen: bool,
    /// True if there was never a consumer, as far as the server and this process know.
    untouched: bool,
}

/// How often the group is read.
const PERIOD: Duration = Duration::from_secs(1);

/// How often the group is read while no worker is alive. After a worker has started, callers are refused for up to
/// this long.
const ABSENCE_PERIOD: Duration = Duration::from_millis(100);

/// With many streams, those without workers are read less often, so that all together cost Redis no more than about
/// 100 reads a second.
fn absence_period(streams: usize) -> Duration {
    (ABSENCE_PERIOD * streams.div_ceil(10).max(1) as u32).min(FRESH / 2)
}

/// An older view is not used.
const FRESH: Duration = Duration::from_secs(5);

impl WorkerPresence {
    /// A view that has not been read yet.
    pub(in super::super) fn new(group: WorkerGroup) -> Self {
        let view =
            View { read_at: None, alive: 0, last_alive: Instant::now(), seen: false, untouched: false };
        Self { group, view: Mutex::new(view) }
    }

    /// True if no worker has given a sign of life for longer than the grace period, or none ever. Never true without
    /// a fresh view: a requester that cannot see the workers must not refuse.
    pub(super) fn are_absent(&self, now: Instant) -> bool {
        let view = self.view();
        let silence = now.saturating_duration_since(view.last_alive);
        view.is_fresh(now) && (view.untouched || silence > self.group.grace)
    }

    /// The number of live workers; `None` without a fresh view.
    pub(super) fn alive(&self) -> Option<usize> {
        let view = self.view();
        view.is_fresh(Instant::now()).then_some(view.alive)
    }

    /// Reads the group periodically, without end. While the workers are absent, undelivered requests are taken back
    /// and their callers refused. `streams` is how many streams this process watches.
    pub(super) async fn watch(
        &self,
        redis: &Redis,
        pending: &PendingReplies,
        requests: &StreamKey,
        metrics: &DestinationMetrics,
        streams: &AtomicUsize,
    ) {
        let begin =
            || TakeBack::new(redis.clone(), requests.clone(), pending.clone(), metrics.taken_back.clone());
        let mut outage = RetryLog::new("view of the workers");
        let mut absence = None;
        loop {
            let done = self.update(redis, requests, metrics).await;
            let done = match self.are_absent(Instant::now()) {
                true if !pending.is_empty() => done.and(absence.get_or_insert_with(&begin).run().await),
                true => done,
                false => {
                    absence = None;
                    done
                }
            };
            let period = match self.view().alive {
                0 => absence_period(streams.load(Ordering::Relaxed)),
                _ => PERIOD,
            };
            let pause = match done {
                Ok(()) => {
                    outage.healed();
                    period
                }
                Err(error) => {
                    // The next take-back starts again at the first undelivered request.
                    absence = None;
                    outage.failed(&error).max(period)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn update(
        &self,
        redis: &Redis,
        requests: &StreamKey,
        metrics: &DestinationMetrics,
    ) -> Result<(), Error> {
        let name = &self.group.name;
        let consumers = ConsumerHealth::of_group(redis, requests, name).await?;
        let untouched = consumers.is_empty() && GroupHealth::is_untouched(redis, requests, name).await?;
        metrics.workers_alive.set(self.saw(&consumers, untouched) as f64);
        Ok(())
    }

    /// Stores a fresh view; returns the number of live workers.
    fn saw(&self, consumers: &[ConsumerHealth], untouched: bool) -> usize {
        let now = Instant::now();
        let mut view = self.view();
        view.read_at = Some(now);
        view.seen |= !consumers.is_empty();
        view.untouched = untouched && !view.seen;
        view.alive = consumers.iter().filter(|consumer| consumer.idle < self.group.grace).count();
        if let Some(silence) = consumers.iter().map(|consumer| consumer.idle).min()
            && let Some(last_sign) = now.checked_sub(silence)
        {
            view.last_alive = view.last_alive.max(last_sign);
        }
        view.alive
    }

    fn view(&self) -> std::sync::MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    fn is_fresh(&self, now: Instant) -> bool {
        self.read_at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(15);

    fn workers() -> WorkerPresence {
        WorkerPresence::new(WorkerGroup { name: "workers".to_owned(), grace: GRACE })
    }

    fn silent_for(seconds: u64) -> ConsumerHealth {
        ConsumerHealth { name: "w".to_owned(), pending: 0, idle: Duration::from_secs(seconds) }
    }

    #[tokio::test(start_paused = true)]
    async fn workers_are_absent_after_the_grace_period() {
        let workers = workers();

        workers.saw(&[], false);
        assert!(!workers.are_absent(Instant::now()), "a worker may be starting");
        tokio::time::advance(GRACE + PERIOD).await;
        workers.saw(&[], false);

        assert!(workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_live_worker_is_enough_and_a_dead_one_does_not_count() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;

        workers.saw(&[silent_for(600), silent_for(3)], false);
        assert_eq!((workers.are_absent(Instant::now()), workers.alive()), (false, Some(1)));

        tokio::time::advance(GRACE).await;
        workers.saw(&[silent_for(615), silent_for(18)], false);
        assert!(workers.are_absent(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn workers_of_an_unused_group_are_absent_at_once() {
        let workers = workers();

        workers.saw(&[], true);
        assert!(workers.are_absent(Instant::now()));

        workers.saw(&[silent_for(0)], false);
        workers.saw(&[], true);
        assert!(!workers.are_absent(Instant::now()), "the worker may be restarting");
    }

    #[tokio::test(start_paused = true)]
    async fn workers_are_not_absent_if_the_view_is_old() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;
        workers.saw(&[], false);
        assert!(workers.are_absent(Instant::now()));

        tokio::time::advance(FRESH + PERIOD).await;

        assert!(!workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), None);
    }
}
