use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Limits logins: for each name, so that a password cannot be guessed, and for all names together, so that guessing
/// costs the service little. Clones share the counts.
#[derive(Clone)]
pub struct LoginLimit {
    by_name: Arc<DefaultKeyedRateLimiter<String>>,
    all: Arc<DefaultDirectRateLimiter>,
}

/// Names that are counted; names that were not used for a while are forgotten before more are added.
const MOST_NAMES: usize = 10_000;

/// The logins of all names together are this many times those of one name.
const NAMES: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

impl LoginLimit {
    /// So many logins a minute for each name.
    pub fn new(a_minute: NonZeroU32) -> Self {
        Self {
            by_name: Arc::new(RateLimiter::keyed(Quota::per_minute(a_minute))),
            all: Arc::new(RateLimiter::direct(Quota::per_minute(a_minute.saturating_mul(NAMES)))),
        }
    }

    /// Counts a login.
    ///
    /// # Errors
    /// There were too many: how long to wait.
    pub fn take(&self, name: &str) -> Result<(), Duration> {
        let now = DefaultClock::default().now();
        if self.by_name.len() >= MOST_NAMES {
            self.by_name.retain_recent();
        }
        self.by_name.check_key(&name.to_owned()).map_err(|until| until.wait_time_from(now))?;
        self.all.check().map_err(|until| until.wait_time_from(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_does_not_use_up_the_logins_of_another() {
        let limit = LoginLimit::new(NonZeroU32::new(2).expect("not zero"));

        let ada: Vec<bool> = (0..3).map(|_| limit.take("ada").is_ok()).collect();

        assert_eq!(ada, [true, true, false]);
        assert!(limit.take("bob").is_ok());
        assert!(limit.take("ada").expect_err("limited") > Duration::from_secs(10));
    }
}
