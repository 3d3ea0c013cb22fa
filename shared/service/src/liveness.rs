//! Tells a probe whether the main runtime of a process still runs its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

/// How often the main runtime ticks, and how often the admin thread checks for a tick.
const PERIOD: Duration = Duration::from_millis(500);

/// After this many checks without a tick (5 s), the runtime counts as hung. A task blocks its thread
/// for a few milliseconds at most; the rest is for a machine that is short of CPU time.
const MISSES: u32 = 10;

/// Counts the checks of the admin thread since the last tick of the main runtime.
///
/// It counts checks instead of seconds. While a process is stopped, or its machine sleeps, the admin
/// thread does not check either, so the runtime has time to tick when the process continues.
#[derive(Debug, Clone, Default)]
pub struct Liveness(Arc<AtomicU32>);

impl Liveness {
    /// Starts to tick on the current runtime. Dropping the handle ends the ticks.
    #[must_use = "if the handle is dropped at once, nothing ticks"]
    pub fn tick(&self) -> AbortOnDropHandle<()> {
        let misses = Arc::clone(&self.0);
        AbortOnDropHandle::new(tokio::spawn(every_period(move || misses.store(0, Ordering::Relaxed))))
    }

    /// Checks for ticks, for ever. It must run on another runtime than the one that ticks.
    pub(crate) async fn watch(self) {
        every_period(move || {
            // The count stops at `MISSES`, so it cannot overflow.
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |misses| {
                (misses < MISSES).then_some(misses + 1)
            });
        })
        .await;
    }

    /// False if the runtime has not ticked for about 5 s.
    pub fn is_alive(&self) -> bool {
        self.0.load(Ordering::Relaxed) < MISSES
    }
}

/// Runs `work` once per [`PERIOD`]. After a pause it runs once, not once for each missed period.
async fn every_period(work: impl Fn()) {
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        work();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_ticks_stays_alive() {
        let liveness = Liveness::default();
        let _ticking = liveness.tick();
        let _watching = AbortOnDropHandle::new(tokio::spawn(liveness.clone().watch()));

        tokio::time::sleep(Duration::from_secs(3_600)).await;

        assert!(liveness.is_alive());
    }

    #[tokio::test(start_paused = true)]
    async fn a_runtime_that_stops_ticking_is_not_alive_until_it_ticks() {
        let liveness = Liveness::default();
        let ticking = liveness.tick();
        let _watching = AbortOnDropHandle::new(tokio::spawn(liveness.clone().watch()));
        tokio::time::sleep(Duration::from_secs(60)).await;

        drop(ticking);
        tokio::time::sleep(Duration::from_secs(4)).await;
        let early = liveness.is_alive();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let late = liveness.is_alive();
        let _ticking = liveness.tick();
        tokio::time::sleep(PERIOD).await;

        assert_eq!((early, late, liveness.is_alive()), (true, false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_whole_process_is_one_miss() {
        let liveness = Liveness::default();
        let _watching = AbortOnDropHandle::new(tokio::spawn(liveness.clone().watch()));
        tokio::time::sleep(PERIOD).await;

        // The clock goes on while no task runs, as after SIGSTOP.
        tokio::time::advance(Duration::from_secs(3_600)).await;
        tokio::task::yield_now().await;

        assert!(liveness.is_alive());
    }
}
