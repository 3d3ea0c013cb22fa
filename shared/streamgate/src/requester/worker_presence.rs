//! Whether anybody is there to do the work, as far as a requester knows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::metrics::RequesterMetrics;
use super::pending::PendingReplies;
use super::settings::WorkerGroup;
use super::take_back::TakeBack;
use crate::connection::{Error, Redis, RetryLog};
use crate::stream::{ConsumerHealth, GroupHealth, StreamKey};

/// The workers of one group, looked at once a second, and more often while there is none.
pub(super) struct WorkerPresence {
    group: WorkerGroup,
    view: Mutex<View>,
}

struct View {
    /// When the group was last looked at with success.
    looked_at: Option<Instant>,
    alive: usize,
    /// The last moment at which somebody is known to have been alive; at first, when this process
    /// started to look.
    last_alive: Instant,
    /// There has been a consumer, alive or not.
    seen: bool,
    /// There has never been one, as far as the server and this process know.
    untouched: bool,
}

/// How often the group is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// How often while nobody is alive: callers are refused for so long after a worker has come.
const ABSENCE_PERIOD: Duration = Duration::from_millis(100);

/// A view older than this says nothing.
const FRESH: Duration = Duration::from_secs(5);

impl WorkerPresence {
    /// Nothing is known yet.
    pub(super) fn new(group: WorkerGroup) -> Self {
        let view =
            View { looked_at: None, alive: 0, last_alive: Instant::now(), seen: false, untouched: false };
        Self { group, view: Mutex::new(view) }
    }

    /// True if no worker has given a sign of life for longer than the grace period, or none ever. Without
    /// a fresh view this is never true: who cannot look must not refuse.
    pub(super) fn are_absent(&self, now: Instant) -> bool {
        let view = self.view();
        let silence = now.saturating_duration_since(view.last_alive);
        view.is_fresh(now) && (view.untouched || silence > self.group.grace)
    }

    /// How many are alive; `None` without a fresh view.
    pub(super) fn alive(&self) -> Option<usize> {
        let view = self.view();
        view.is_fresh(Instant::now()).then_some(view.alive)
    }

    /// Looks at the group for ever. When the workers have been absent for too long, those who still wait
    /// are told so and their requests are taken back.
    pub(super) async fn watch(
        &self,
        redis: &Redis,
        pending: &PendingReplies,
        requests: &StreamKey,
        metrics: &RequesterMetrics,
    ) {
        let begin =
            || TakeBack::new(redis.clone(), requests.clone(), pending.clone(), metrics.taken_back.clone());
        let mut outage = RetryLog::new("view of the workers");
        let mut absence = None;
        loop {
            let done = self.look(redis, requests, metrics).await;
            let done = match self.are_absent(Instant::now()) {
                true if !pending.is_empty() => done.and(absence.get_or_insert_with(&begin).run().await),
                true => done,
                false => {
                    absence = None;
                    done
                }
            };
            let period = if self.view().alive > 0 { PERIOD } else { ABSENCE_PERIOD };
            let pause = match done {
                Ok(()) => {
                    outage.healed();
                    period
                }
                Err(error) => {
                    // What was being taken back is looked at again from its beginning.
                    absence = None;
                    outage.failed(&error).max(period)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn look(
        &self,
        redis: &Redis,
        requests: &StreamKey,
        metrics: &RequesterMetrics,
    ) -> Result<(), Error> {
        let name = &self.group.name;
        let consumers = ConsumerHealth::of_group(redis, requests, name).await?;
        let untouched = consumers.is_empty() && GroupHealth::is_untouched(redis, requests, name).await?;
        metrics.workers_alive.set(self.saw(&consumers, untouched) as f64);
        Ok(())
    }

    /// Takes in a fresh view; answers how many are alive.
    fn saw(&self, consumers: &[ConsumerHealth], untouched: bool) -> usize {
        let now = Instant::now();
        let mut view = self.view();
        view.looked_at = Some(now);
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
        self.looked_at.is_some_and(|at| now.saturating_duration_since(at) <= FRESH)
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
    async fn a_group_without_workers_is_absent_after_the_grace_period() {
        let workers = workers();

        workers.saw(&[], false);
        assert!(!workers.are_absent(Instant::now()), "they may just be starting");
        tokio::time::advance(GRACE + PERIOD).await;
        workers.saw(&[], false);

        assert!(workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_sign_of_life_is_enough_and_a_dead_one_does_not_count() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;

        workers.saw(&[silent_for(600), silent_for(3)], false);
        assert_eq!((workers.are_absent(Instant::now()), workers.alive()), (false, Some(1)));

        tokio::time::advance(GRACE).await;
        workers.saw(&[silent_for(615), silent_for(18)], false);
        assert!(workers.are_absent(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_never_had_a_worker_is_absent_at_once() {
        let workers = workers();

        workers.saw(&[], true);
        assert!(workers.are_absent(Instant::now()));

        workers.saw(&[silent_for(0)], false);
        workers.saw(&[], true);
        assert!(!workers.are_absent(Instant::now()), "the worker may just be restarting");
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_look_does_not_refuse() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;
        workers.saw(&[], false);
        assert!(workers.are_absent(Instant::now()));

        tokio::time::advance(FRESH + PERIOD).await;

        assert!(!workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), None);
    }
}
