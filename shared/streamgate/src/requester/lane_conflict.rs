//! Detects that a second gateway uses the reply lane of this one.

use std::time::Duration;

use tokio::time::Instant;

/// Counts replies to requests that this process did not send. A request sometimes gets a second reply, so a few such
/// replies are normal; many mean that two gateways share the lane.
pub(super) struct LaneConflict {
    /// Until then, replies may belong to the process that had this lane before.
    quiet_until: Instant,
    quiet: Duration,
    since: Instant,
    known: u64,
    unknown: u64,
    warned: bool,
}

/// The counts start again after this time; at most one warning is logged in it.
const WINDOW: Duration = Duration::from_secs(60);

/// Fewer unknown replies in a window are ignored.
const NOTABLE: u64 = 10;

impl LaneConflict {
    /// Ignores unknown replies for the first `quiet`, the longest timeout of a request.
    pub(super) fn new(quiet: Duration) -> Self {
        let now = Instant::now();
        Self { quiet_until: now + quiet, quiet, since: now, known: 0, unknown: 0, warned: false }
    }

    /// The lane is read from its beginning again, so old replies come again.
    pub(super) fn read_again(&mut self) {
        self.quiet_until = Instant::now() + self.quiet;
    }

    /// A reply belonged to a request of this process.
    pub(super) fn known(&mut self) {
        self.known += 1;
    }

    /// A reply did not belong to a request of this process. True once per window, if there is one such reply for ten
    /// known ones.
    pub(super) fn unknown(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) > WINDOW {
            (self.since, self.known, self.unknown, self.warned) = (now, 0, 0, false);
        }
        if now < self.quiet_until {
            return false;
        }
        self.unknown += 1;
        let many = self.unknown >= NOTABLE && self.unknown * 10 >= self.known;
        many && !std::mem::replace(&mut self.warned, many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(30);

    async fn after_the_quiet_time() -> LaneConflict {
        let conflict = LaneConflict::new(QUIET);
        tokio::time::advance(QUIET + Duration::from_secs(1)).await;
        conflict
    }

    fn warnings(conflict: &mut LaneConflict, unknown: usize) -> usize {
        (0..unknown).filter(|_| conflict.unknown(Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_two_gateways_share_gives_a_warning_a_minute() {
        let mut conflict = after_the_quiet_time().await;

        assert_eq!(warnings(&mut conflict, 1_000), 1);
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(warnings(&mut conflict, 1_000), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_second_replies_give_no_warning() {
        let mut conflict = after_the_quiet_time().await;
        (0..1_000).for_each(|_| conflict.known());

        assert_eq!(warnings(&mut conflict, 99), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_to_the_process_before_give_no_warning() {
        let mut conflict = LaneConflict::new(QUIET);

        assert_eq!(warnings(&mut conflict, 1_000), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_are_read_again_give_no_warning() {
        let mut conflict = after_the_quiet_time().await;

        conflict.read_again();

        assert_eq!(warnings(&mut conflict, 1_000), 0);
        tokio::time::advance(QUIET * 2).await;
        assert_eq!(warnings(&mut conflict, 1_000), 1, "the quiet time is over");
    }
}
