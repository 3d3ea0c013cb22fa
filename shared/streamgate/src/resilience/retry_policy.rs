use std::time::Duration;

/// When work that failed is tried again, and how often.
///
/// ```
/// use std::time::Duration;
/// use streamgate::resilience::RetryPolicy;
///
/// let policy = RetryPolicy::exponential(Duration::from_secs(1), Duration::from_secs(30)).deliveries(4);
/// ```
///
/// The default is exponential from one second to 30, with a jitter of 0.2, and five deliveries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    delays: Delays,
    jitter: f64,
    deliveries: u32,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Delays {
    Fixed(Duration),
    Linear { step: Duration, longest: Duration },
    Exponential { first: Duration, longest: Duration },
    Decorrelated { first: Duration, longest: Duration },
}

const JITTER: f64 = 0.2;
const DELIVERIES: u32 = 5;

impl RetryPolicy {
    /// The same delay before each retry.
    pub fn fixed(delay: Duration) -> Self {
        Self::with(Delays::Fixed(delay), 0.0)
    }

    /// `step` before the first retry, twice `step` before the second, and so on, up to `longest`.
    pub fn linear(step: Duration, longest: Duration) -> Self {
        Self::with(Delays::Linear { step, longest }, 0.0)
    }

    /// `first` before the first retry, twice the last delay before each further one, up to `longest`. Without jitter.
    pub fn exponential(first: Duration, longest: Duration) -> Self {
        Self::with(Delays::Exponential { first, longest }, 0.0)
    }

    /// Each delay is random between `first` and three times the one before, up to `longest` (AWS Architecture Blog,
    /// "Exponential Backoff and Jitter", 2015: "decorrelated jitter").
    pub fn decorrelated(first: Duration, longest: Duration) -> Self {
        Self::with(Delays::Decorrelated { first, longest }, 0.0)
    }

    fn with(delays: Delays, jitter: f64) -> Self {
        Self { delays, jitter, deliveries: DELIVERIES }
    }

    /// Each delay is multiplied by a random factor between 1 − `share` and 1 + `share`, so that work that failed at one
    /// moment does not come back at one moment. A share outside 0 to 1 is set to the nearer end.
    #[must_use]
    pub fn jitter(self, share: f64) -> Self {
        Self { jitter: share.clamp(0.0, 1.0), ..self }
    }

    /// The most deliveries of an entry, the first included; at least 1. After the last one it becomes a dead letter.
    #[must_use]
    pub fn deliveries(self, most: u32) -> Self {
        Self { deliveries: most.max(1), ..self }
    }

    /// The most deliveries of an entry.
    pub fn most_deliveries(&self) -> u32 {
        self.deliveries
    }

    /// The delay after the delivery `attempt`, counted from 1; `None` after the last one.
    pub fn delay_after(&self, attempt: u32) -> Option<Duration> {
        (attempt < self.deliveries).then(|| {
            let factor = rand::random_range(1.0 - self.jitter..=1.0 + self.jitter);
            let seconds = self.delays.after(attempt.max(1)).as_secs_f64() * factor;
            Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
        })
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), Duration::from_secs(30)).jitter(JITTER)
    }
}

impl Delays {
    fn after(self, attempt: u32) -> Duration {
        match self {
            Self::Fixed(delay) => delay,
            Self::Linear { step, longest } => step.saturating_mul(attempt).min(longest),
            Self::Exponential { first, longest } => {
                first.saturating_mul(2u32.saturating_pow(attempt - 1)).min(longest)
            }
            Self::Decorrelated { first, longest } => {
                // The delays before are not known any more: others, just as likely, are drawn instead.
                let next = |before: Duration, _| {
                    let most = before.saturating_mul(3).max(first);
                    rand::random_range(first..=most).min(longest)
                };
                (0..attempt.min(LONGEST_CHAIN)).fold(first, next)
            }
        }
    }
}

/// After so many draws the distribution of a decorrelated delay changes no more.
const LONGEST_CHAIN: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn delays(policy: RetryPolicy) -> Vec<u64> {
        (1..=6)
            .map(|attempt| policy.deliveries(9).delay_after(attempt).expect("not the last").as_secs())
            .collect()
    }

    #[test]
    fn each_policy_gives_its_delays() {
        assert_eq!(delays(RetryPolicy::fixed(SECOND * 7)), [7; 6]);
        assert_eq!(delays(RetryPolicy::linear(SECOND * 2, SECOND * 9)), [2, 4, 6, 8, 9, 9]);
        assert_eq!(delays(RetryPolicy::exponential(SECOND, SECOND * 30)), [1, 2, 4, 8, 16, 30]);
    }

    #[test]
    fn a_random_delay_stays_within_its_bounds() {
        let jittered = RetryPolicy::fixed(SECOND * 10).jitter(0.2);
        let decorrelated = RetryPolicy::decorrelated(SECOND, SECOND * 5).deliveries(u32::MAX);
        for attempt in 1..200 {
            let delay = jittered.deliveries(u32::MAX).delay_after(attempt).expect("not the last");
            assert!((SECOND * 8..=SECOND * 12).contains(&delay), "{delay:?}");
            let delay = decorrelated.delay_after(attempt).expect("not the last");
            assert!((SECOND..=SECOND * 5).contains(&delay), "{delay:?}");
        }
    }

    #[test]
    fn the_last_delivery_is_not_followed_by_another() {
        let policy = RetryPolicy::default();

        assert!(policy.delay_after(4).is_some());
        assert_eq!((policy.delay_after(5), policy.delay_after(u32::MAX)), (None, None));
        assert_eq!(policy.deliveries(0).delay_after(1), None);
    }
}
