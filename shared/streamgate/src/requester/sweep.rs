//! The regular work of a requester: completes callers whose deadline has passed, updates gauges and wait estimates, and
//! gives up destinations that nobody needs any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Destinations;
use super::pending::{DEADLINE_STEP, PendingReplies};
use crate::telemetry::{Latch, LatchView};

pub(super) struct Sweep {
    pub(super) pending: PendingReplies,
    pub(super) destinations: Destinations,
    pub(super) watched: Arc<AtomicUsize>,
    /// Set while Redis permits every command that the lane needs.
    pub(super) lane_permitted: LatchView,
    /// Whether this process may do any work at all.
    pub(super) permitted: Latch,
}

impl Sweep {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(DEADLINE_STEP);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut last = Instant::now();
        loop {
            let now = tokio::select! {
                () = stop.cancelled() => return,
                now = ticks.tick() => now,
            };
            self.pending.expire(now);
            let elapsed = now.saturating_duration_since(last);
            last = now;
            let mut destinations = self.destinations.lock().unwrap_or_else(PoisonError::into_inner);
            let mut permitted = destinations.is_empty();
            destinations.retain(|destination| {
                destination.sweep(elapsed);
                permitted |= destination.is_permitted();
                let done = destination.is_done();
                if done {
                    destination.close();
                }
                !done
            });
            self.watched.store(destinations.len(), Ordering::Relaxed);
            self.permitted.set(permitted && self.lane_permitted.is_set());
        }
    }
}
