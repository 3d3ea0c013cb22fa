//! Replies on a lane of one's own that nobody here has asked for.

use std::time::Duration;

use tokio::time::Instant;

/// Tells a lane that two gateways share from the second reply that a request gets now and then.
pub(super) struct LaneConflict {
    /// Replies to requests of a process that had this lane before come until then.
    quiet_until: Instant,
    quiet: Duration,
    since: Instant,
    known: u64,
    unknown: u64,
    warned: bool,
}

/// Counts start anew after this time, and so does the warning.
const WINDOW: Duration = Duration::from_secs(60);

/// Fewer unknown replies in a window say nothing.
const NOTABLE: u64 = 10;

impl LaneConflict {
    /// Nothing is told for `quiet`, the longest timeout of a request.
    pub(super) fn new(quiet: Duration) -> Self {
        let now = Instant::now();
        Self { quiet_until: now + quiet, quiet, since: now, known: 0, unknown: 0, warned: false }
    }

    /// The lane is read from its beginning: replies come that were read before.
    pub(super) fn read_again(&mut self) {
        self.quiet_until = Instant::now() + self.quiet;
    }

    /// A reply found its caller, or came too late for it.
    pub(super) fn known(&mut self) {
        self.known += 1;
    }

    /// Nobody here has asked for a reply. True once per window, if a tenth of the replies are such.
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

    async fn strangers() -> LaneConflict {
        let strangers = LaneConflict::new(QUIET);
        tokio::time::advance(QUIET + Duration::from_secs(1)).await;
        strangers
    }

    fn warnings(strangers: &mut LaneConflict, unknown: usize) -> usize {
        (0..unknown).filter(|_| strangers.unknown(Instant::now())).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_two_gateways_share_is_told_once_a_minute() {
        let mut strangers = strangers().await;

        assert_eq!(warnings(&mut strangers, 1_000), 1);
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(warnings(&mut strangers, 1_000), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_second_replies_are_no_reason_to_warn() {
        let mut strangers = strangers().await;
        (0..1_000).for_each(|_| strangers.known());

        assert_eq!(warnings(&mut strangers, 99), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_to_the_process_before_this_one_are_no_reason() {
        let mut strangers = LaneConflict::new(QUIET);

        assert_eq!(warnings(&mut strangers, 1_000), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn replies_that_are_read_again_are_no_reason() {
        let mut strangers = strangers().await;

        strangers.read_again();

        assert_eq!(warnings(&mut strangers, 1_000), 0);
        tokio::time::advance(QUIET * 2).await;
        assert_eq!(warnings(&mut strangers, 1_000), 1, "not for good");
    }
}
