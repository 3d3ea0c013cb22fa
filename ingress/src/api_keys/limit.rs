//! The rate limit of a key, and the headers that show its state.
//!
//! Each key has a generic cell rate algorithm (GCRA). It refills the quota evenly, not all at once at
//! the start of each window. The headers are those of draft-ietf-httpapi-ratelimit-headers-10.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// Carries the rate limit of the key.
pub const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Carries the rest of the rate limit.
pub const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// The largest number of requests, and the largest burst.
const LARGEST: u32 = 1_000_000;

/// A number of requests per second, minute or hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    requests: NonZeroU32,
    unit: char,
}

impl Rate {
    /// Reads `50`, `50/s`, `50/m` or `50/h`.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const RULE: &str =
            "must be a rate of 1 to 1000000 requests a second, such as 50, or a minute or hour: 50/m, 50/h";
        let (number, unit) = match text.split_once('/') {
            None => (text, 's'),
            Some((number, "s")) => (number, 's'),
            Some((number, "m")) => (number, 'm'),
            Some((number, "h")) => (number, 'h'),
            Some(_) => return Err(RULE),
        };
        number_of(number).map(|requests| Self { requests, unit }).ok_or(RULE)
    }

    /// The time between two requests if they are spread evenly.
    fn interval(self) -> Duration {
        Duration::from_secs(self.seconds().into()) / self.requests.get()
    }

    /// Requests per second, rounded up.
    fn per_second(self) -> u32 {
        self.requests.get().div_ceil(self.seconds())
    }

    fn seconds(self) -> u32 {
        match self.unit {
            'h' => 3_600,
            'm' => 60,
            _ => 1,
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unit {
            's' => write!(f, "{}", self.requests),
            unit => write!(f, "{}/{unit}", self.requests),
        }
    }
}

/// A rate, and the number of requests that may come at once after a pause (the burst).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    rate: Rate,
    burst: NonZeroU32,
}

impl Limit {
    /// Reads a rate and a burst. If no burst is given, it is the number of requests in `rate`.
    ///
    /// # Errors
    /// The rule that is broken.
    pub fn parse(rate: &str, burst: Option<&str>) -> Result<Self, &'static str> {
        let rate = Rate::parse(rate)?;
        match burst {
            None => Ok(Self { rate, burst: rate.requests }),
            Some(burst) => {
                let rule = "must have a burst of at least the requests of one second and at most 1000000";
                let burst = number_of(burst).filter(|burst| burst.get() >= rate.per_second());
                burst.map(|burst| Self { rate, burst }).ok_or(rule)
            }
        }
    }

    fn quota(self) -> Quota {
        // An interval is never 0: at the highest rate it is 1 µs.
        Quota::with_period(self.rate.interval())
            .unwrap_or(Quota::per_second(self.rate.requests))
            .allow_burst(self.burst)
    }
}

/// The limit as it is written in the file.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.rate, self.burst)
    }
}

fn number_of(text: &str) -> Option<NonZeroU32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number: &NonZeroU32| digits && number.get() <= LARGEST)
}

/// Counts the requests of one key.
pub struct Limiter<C: Clock = DefaultClock> {
    cells: RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
    clock: C,
    /// The time until one more request is allowed.
    interval: Duration,
    /// The value of [`RATELIMIT_POLICY`], which does not change.
    policy: HeaderValue,
}

impl Limiter {
    /// Starts with the whole burst.
    pub fn new(limit: Limit) -> Self {
        Self::with_clock(limit, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limiter<C> {
    fn with_clock(limit: Limit, clock: C) -> Self {
        let quota = limit.quota();
        let window = whole_seconds(quota.burst_size_replenished_in());
        Self {
            cells: RateLimiter::direct_with_clock(quota, clock.clone()).with_middleware(),
            clock,
            interval: quota.replenish_interval(),
            policy: header(format!(r#""default";q={};w={window}"#, limit.burst)),
        }
    }

    /// Takes one request off the quota. Returns the rest of the quota, or the time to wait if the quota is
    /// used up.
    ///
    /// # Errors
    /// The quota is used up.
    pub fn take(&self) -> Result<u32, Duration> {
        match self.cells.check() {
            Ok(state) => Ok(state.remaining_burst_capacity()),
            Err(not_until) => Err(not_until.wait_time_from(self.clock.now())),
        }
    }

    /// Sets the headers of an answer to the result of [`take`](Self::take).
    pub fn announce(&self, taken: Result<u32, Duration>, headers: &mut HeaderMap) {
        let (left, wait) = taken.map_or_else(|wait| (0, wait), |left| (left, self.interval));
        headers.insert(RATELIMIT_POLICY, self.policy.clone());
        headers.insert(RATELIMIT, header(format!(r#""default";r={left};t={}"#, whole_seconds(wait))));
    }
}

/// The seconds in `time`, rounded up, at least 1.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn take_and_announce<C: Clock + Clone>(limiter: &Limiter<C>) -> (bool, String, String) {
        let (taken, mut headers) = (limiter.take(), HeaderMap::new());
        limiter.announce(taken, &mut headers);
        let text = |name| headers[&name].to_str().expect("text").to_owned();
        (taken.is_ok(), text(RATELIMIT_POLICY), text(RATELIMIT))
    }

    fn limit(rate: &str, burst: Option<&str>) -> Limit {
        Limit::parse(rate, burst).expect("valid")
    }

    #[test]
    fn a_burst_is_allowed_and_refills_evenly() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(limit("2", Some("3")), clock.clone());
        let policy = || r#""default";q=3;w=2"#.to_owned();

        for left in ["2", "1", "0"] {
            assert_eq!(take_and_announce(&limiter), (true, policy(), format!(r#""default";r={left};t=1"#)));
        }
        assert_eq!(take_and_announce(&limiter), (false, policy(), r#""default";r=0;t=1"#.to_owned()));
        clock.advance(Duration::from_millis(499));
        assert!(!take_and_announce(&limiter).0);
        clock.advance(Duration::from_millis(1));
        assert!(take_and_announce(&limiter).0);
        assert!(!take_and_announce(&limiter).0);
    }

    #[test]
    fn a_slow_rate_shows_how_long_to_wait() {
        let clock = FakeRelativeClock::default();
        let limiter = Limiter::with_clock(limit("2/m", Some("1")), clock.clone());

        assert_eq!(take_and_announce(&limiter).2, r#""default";r=0;t=30"#);
        clock.advance(Duration::from_millis(10_500));

        assert_eq!(limiter.take(), Err(Duration::from_millis(19_500)));
        assert_eq!(take_and_announce(&limiter).1, r#""default";q=1;w=30"#);
        assert_eq!(take_and_announce(&limiter).2, r#""default";r=0;t=20"#);
    }

    #[test]
    fn rates_and_bursts_are_written_as_they_are_read() {
        for (rate, burst, written) in [
            ("50", None, "50:50"),
            ("50/s", Some("100"), "50:100"),
            ("30/m", Some("1"), "30/m:1"),
            ("120/m", Some("2"), "120/m:2"),
            ("7/h", None, "7/h:7"),
            ("1000000", Some("1000000"), "1000000:1000000"),
        ] {
            assert_eq!(limit(rate, burst).to_string(), written);
        }
    }

    #[test]
    fn a_rate_or_burst_that_breaks_a_rule_is_refused() {
        for (rate, burst) in [
            ("", None),
            ("0", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1000001", None),
            ("5/d", None),
            ("5/", None),
            ("many", None),
            ("5", Some("")),
            ("5", Some("0")),
            ("5", Some("4")),
            ("120/m", Some("1")),
            ("5", Some("1000001")),
        ] {
            assert!(Limit::parse(rate, burst).is_err(), "{rate}:{burst:?}");
        }
    }
}
