//! How often one sender may send.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// A quota for each sender, refilled evenly (GCRA). A sender is its user id, within its API key if there is one.
pub(crate) struct SenderLimit {
    cells: DefaultKeyedRateLimiter<String>,
    checks: AtomicU32,
}

/// After so many checks, senders whose quota is full again are forgotten: a caller can invent user ids.
const FORGET_EVERY: u32 = 1_024;

impl SenderLimit {
    /// `rate` a second, and `burst` at once after a pause.
    pub(crate) fn new(rate: NonZeroU32, burst: NonZeroU32) -> Self {
        let quota = Quota::per_second(rate).allow_burst(burst);
        Self { cells: RateLimiter::keyed(quota), checks: AtomicU32::new(1) }
    }

    /// Takes one of the sender's quota, or says how long it must wait.
    pub(crate) fn take(&self, sender: &String) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY) {
            self.cells.retain_recent();
        }
        let now = || DefaultClock::default().now();
        self.cells.check_key(sender).map_err(|not_until| not_until.wait_time_from(now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: u32, burst: u32) -> SenderLimit {
        let number = |number| NonZeroU32::new(number).expect("not zero");
        SenderLimit::new(number(rate), number(burst))
    }

    #[test]
    fn each_sender_has_a_quota_of_its_own() {
        let limit = limit(1, 2);

        let taken = ["a", "a", "a", "b"].map(|sender| limit.take(&sender.to_owned()).is_ok());

        assert_eq!(taken, [true, true, false, true]);
    }

    #[test]
    fn senders_that_were_invented_are_forgotten() {
        let limit = limit(1_000, 1);
        let invented = (0..4_000).filter(|sender| limit.take(&sender.to_string()).is_ok());
        assert_eq!(invented.count(), 4_000);

        let started = std::time::Instant::now();
        while limit.cells.len() > 1_000 {
            let _ = limit.take(&"a".to_owned());
            assert!(started.elapsed() < Duration::from_secs(30), "{} senders", limit.cells.len());
        }
    }
}
