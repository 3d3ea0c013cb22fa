use std::time::Duration;

/// Exponential backoff with jitter: each delay is drawn from the upper half of a window that
/// doubles up to a cap.
///
/// The lower half of the window is always waited ("equal jitter"), so that a retry is never immediate and a retry loop
/// never takes a whole processor. The random half spreads the retries of many clients. Source: M. Brooker,
/// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    /// Starts at `base` and never waits longer than `cap`.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempt: 0 }
    }

    /// The next delay; each call doubles the window.
    pub fn next_delay(&mut self) -> Duration {
        let window = self.base.saturating_mul(1 << self.attempt.min(20)).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        window.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Number of delays drawn since the last reset.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// Starts again at `base`, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_keep_at_least_half() {
        let (base, cap) = (Duration::from_millis(100), Duration::from_secs(1));
        let mut backoff = Backoff::new(base, cap);

        for window_ms in [100, 200, 400, 800, 1_000, 1_000] {
            let delay = backoff.next_delay();
            let window = Duration::from_millis(window_ms);
            assert!(delay >= window / 2 && delay <= window, "{delay:?} of {window:?}");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= base);
    }

    #[test]
    fn clients_that_failed_together_do_not_retry_together() {
        let first_delay = || Backoff::new(Duration::from_secs(1), Duration::from_secs(5)).next_delay();

        let mut delays: Vec<Duration> = (0..100).map(|_| first_delay()).collect();
        delays.sort_unstable();

        assert!(delays[90] - delays[10] > Duration::from_millis(100), "{delays:?}");
    }

    #[test]
    fn a_thousand_failures_do_not_overflow() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));

        assert!((0..1_000).all(|_| backoff.next_delay() <= Duration::from_secs(5)));
    }
}
