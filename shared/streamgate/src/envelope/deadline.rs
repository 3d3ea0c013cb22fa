use std::time::Duration;

use crate::clock::Clock;

/// The moment after which the caller no longer waits: Unix milliseconds in the server's clock.
///
/// It is absolute and travels with the request, so every process can compute the time left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(u64);

impl Deadline {
    /// The deadline `timeout` from now on `clock`.
    pub fn after(timeout: Duration, clock: &dyn Clock) -> Self {
        Self(clock.now_ms().saturating_add(timeout.as_millis() as u64))
    }

    /// A deadline at `unix_ms`.
    pub const fn at(unix_ms: u64) -> Self {
        Self(unix_ms)
    }

    /// Unix milliseconds in the server's clock.
    pub const fn unix_ms(self) -> u64 {
        self.0
    }

    /// The time left at `now_ms` in the server's clock; zero once the deadline has passed.
    pub const fn remaining_at(self, now_ms: u64) -> Duration {
        Duration::from_millis(self.0.saturating_sub(now_ms))
    }

    /// True once no time is left.
    pub fn has_passed(self, clock: &dyn Clock) -> bool {
        self.0 <= clock.now_ms()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(u64);

    impl Clock for At {
        fn now_ms(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn the_time_left_shrinks_to_zero_and_stays_there() {
        let deadline = Deadline::after(Duration::from_secs(2), &At(1_000));

        assert_eq!(deadline.unix_ms(), 3_000);
        assert_eq!(deadline.remaining_at(2_500), Duration::from_millis(500));
        assert_eq!(deadline.remaining_at(9_000), Duration::ZERO);
        assert!(!deadline.has_passed(&At(2_999)));
        assert!(deadline.has_passed(&At(3_000)));
    }
}
