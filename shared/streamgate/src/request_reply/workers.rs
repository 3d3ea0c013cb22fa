//! Whether anybody is there to do the work, as far as a requester knows.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::settings::WorkerGroup;
use crate::connection::{Outage, Redis};
use crate::stream::{ConsumerHealth, StreamKey};
use crate::telemetry::metrics::RequesterMetrics;

/// The workers of one group, looked at once a second.
pub(super) struct Workers {
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
}

/// How often the group is looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// A view older than this says nothing.
const FRESH: Duration = Duration::from_secs(5);

impl Workers {
    /// Nothing is known yet.
    pub(super) fn new(group: WorkerGroup) -> Self {
        Self { group, view: Mutex::new(View { looked_at: None, alive: 0, last_alive: Instant::now() }) }
    }

    /// True if no worker has given a sign of life for longer than the grace period. Without a fresh
    /// view this is never true: who cannot look must not refuse.
    pub(super) fn are_absent(&self, now: Instant) -> bool {
        let view = self.view();
        view.is_fresh(now) && now.saturating_duration_since(view.last_alive) > self.group.grace
    }

    /// How many are alive; `None` without a fresh view.
    pub(super) fn alive(&self) -> Option<usize> {
        let view = self.view();
        view.is_fresh(Instant::now()).then_some(view.alive)
    }

    /// Looks at the group until `stop`.
    pub(super) async fn watch(
        &self,
        redis: &Redis,
        stream: &StreamKey,
        metrics: &RequesterMetrics,
        stop: &CancellationToken,
    ) {
        let mut outage = Outage::new("view of the workers");
        loop {
            match ConsumerHealth::of_group(redis, stream, &self.group.name).await {
                Ok(consumers) => {
                    outage.healed();
                    metrics.workers_alive.set(self.saw(&consumers) as f64);
                }
                Err(error) => {
                    outage.failed(&error);
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Takes in a fresh view; answers how many are alive.
    fn saw(&self, consumers: &[ConsumerHealth]) -> usize {
        let now = Instant::now();
        let mut view = self.view();
        view.looked_at = Some(now);
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

    fn workers() -> Workers {
        Workers::new(WorkerGroup { name: "workers".to_owned(), grace: GRACE })
    }

    fn silent_for(seconds: u64) -> ConsumerHealth {
        ConsumerHealth { name: "w".to_owned(), pending: 0, idle: Duration::from_secs(seconds) }
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_without_workers_is_absent_once_the_grace_period_is_over() {
        let workers = workers();

        workers.saw(&[]);
        assert!(!workers.are_absent(Instant::now()), "they may just be starting");
        tokio::time::advance(GRACE + PERIOD).await;
        workers.saw(&[]);

        assert!(workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), Some(0));
    }

    #[tokio::test(start_paused = true)]
    async fn one_sign_of_life_is_enough_and_a_dead_one_does_not_count() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;

        workers.saw(&[silent_for(600), silent_for(3)]);
        assert_eq!((workers.are_absent(Instant::now()), workers.alive()), (false, Some(1)));

        tokio::time::advance(GRACE).await;
        workers.saw(&[silent_for(615), silent_for(18)]);
        assert!(workers.are_absent(Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_look_does_not_refuse() {
        let workers = workers();
        tokio::time::advance(GRACE * 2).await;
        workers.saw(&[]);
        assert!(workers.are_absent(Instant::now()));

        tokio::time::advance(FRESH + PERIOD).await;

        assert!(!workers.are_absent(Instant::now()));
        assert_eq!(workers.alive(), None);
    }
}
