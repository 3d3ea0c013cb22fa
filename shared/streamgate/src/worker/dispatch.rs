//! Decides where the work on a delivery runs: short work in the read loop, other work in a task of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::{coop, yield_now};

use super::execution::Execution;
use super::job::Job;
use crate::stream::LeasedEntry;

/// For shorter work, a task of its own would cost too much.
const SHORT: Duration = Duration::from_micros(100);

/// Number of requests finished in the read loop before it yields to the settler, the leases and the heartbeat.
const LONGEST_TURN: usize = 64;

impl<J: Job> Execution<J> {
    /// Starts the work on each delivery: in a task of its own, unless the work ends at its first poll.
    pub(super) async fn start_all(self: &Arc<Self>, deliveries: Vec<LeasedEntry>) {
        let mut ended = 0;
        for delivery in deliveries {
            ended += usize::from(self.start(delivery));
            if ended == LONGEST_TURN {
                ended = 0;
                yield_now().await;
            }
        }
        if ended == 1 && self.limit.taken() == 1 {
            // This was the only request: the settler sends its reply before the next read starts.
            yield_now().await;
        }
    }

    /// True if the work has already ended.
    fn start(self: &Arc<Self>, delivery: LeasedEntry) -> bool {
        tracing::debug!(entry = %delivery.entry.id, attempt = delivery.attempt, "delivered");
        let slot = self.limit.take_over();
        let execution = Arc::clone(self);
        // Boxed, because the runtime copies a future several times when it spawns it.
        let mut work = Box::pin(async move {
            if let Some(settlement) = execution.work(delivery, slot).await {
                // The queue is closed only if the settler has ended; the entry then stays pending.
                let _ = execution.settled.send(settlement);
            }
        });
        let usual = self.usual_work.get();
        let is_short = !usual.is_zero() && usual < SHORT;
        let ended = self.one_thread && is_short && ends_at_once(work.as_mut());
        if !ended {
            tokio::spawn(work);
        }
        ended
    }
}

/// Polls `work` once; true if it has ended. A panic ends the work, as it would end a task; the panic hook of the
/// process logs it.
fn ends_at_once(work: Pin<&mut impl Future<Output = ()>>) -> bool {
    let mut context = Context::from_waker(Waker::noop());
    let work = pin!(coop::unconstrained(work));
    catch_unwind(AssertUnwindSafe(|| work.poll(&mut context).is_ready())).unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use tokio::sync::RwLock;

    use super::*;

    #[tokio::test]
    async fn work_that_waits_can_finish_in_a_task() {
        let mut work = Box::pin(yield_now());

        assert!(!ends_at_once(work.as_mut()));
        tokio::spawn(work).await.expect("finishes");
    }

    #[test]
    fn only_work_that_ends_or_panics_has_ended() {
        assert!(ends_at_once(pin!(std::future::ready(()))));
        assert!(ends_at_once(pin!(async { panic!("on purpose") })));
        assert!(!ends_at_once(pin!(std::future::pending())));
    }

    #[tokio::test]
    async fn tokios_budget_for_a_task_does_not_make_work_wait() {
        let lock = RwLock::new(());

        for _ in 0..1_000 {
            assert!(ends_at_once(pin!(async { drop(lock.read().await) })));
        }
    }
}
