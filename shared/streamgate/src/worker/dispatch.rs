//! Where deliveries are worked on: short work where it was taken, all other in tasks of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::task::{coop, yield_now};

use super::execution::Execution;
use super::handler::Handler;
use crate::stream::Delivery;

/// Work that usually takes less is not worth a task.
const SHORT: Duration = Duration::from_micros(100);

/// So much work that ends at once is done before settler, leases and heartbeat get a turn.
const LONGEST_TURN: usize = 64;

impl<H: Handler> Execution<H> {
    /// Works on deliveries: on each in a task of its own, unless it ends at once.
    pub(super) async fn start_all(self: &Arc<Self>, deliveries: Vec<Delivery>) {
        let mut ended = 0;
        for delivery in deliveries {
            ended += usize::from(self.start(delivery));
            if ended == LONGEST_TURN {
                ended = 0;
                yield_now().await;
            }
        }
        if ended == 1 && self.limit.taken() == 1 {
            // Alone: its reply leaves before the next read is asked for.
            yield_now().await;
        }
    }

    /// True if the work has ended already.
    fn start(self: &Arc<Self>, delivery: Delivery) -> bool {
        tracing::debug!(entry = %delivery.entry.id, attempt = delivery.attempt, "delivered");
        let slot = self.limit.take_over();
        let execution = Arc::clone(self);
        // Boxed: a task is copied several times on its way into the runtime.
        let mut work = Box::pin(async move {
            if let Some(settlement) = execution.work(delivery, slot).await {
                // Closed only when the settler was given up; the entry then stays pending.
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

/// Runs `work` until it first waits; true if it never did. A panic is logged by the process' hook and
/// ends the work, as it would end a task.
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
    async fn work_that_waits_is_left_to_be_finished_elsewhere() {
        let mut work = Box::pin(yield_now());

        assert!(!ends_at_once(work.as_mut()));
        tokio::spawn(work).await.expect("finishes");
    }

    #[test]
    fn work_that_ends_or_panics_is_over_and_no_other() {
        assert!(ends_at_once(pin!(std::future::ready(()))));
        assert!(ends_at_once(pin!(async { panic!("on purpose") })));
        assert!(!ends_at_once(pin!(std::future::pending())));
    }

    #[tokio::test]
    async fn one_turn_of_a_task_does_not_bound_what_ends_at_once() {
        let lock = RwLock::new(());

        for _ in 0..1_000 {
            assert!(ends_at_once(pin!(async { drop(lock.read().await) })));
        }
    }
}
