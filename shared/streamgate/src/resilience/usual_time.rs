use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long an operation usually takes: an exponentially weighted mean of about the last dozen samples.
#[derive(Debug, Default)]
pub struct UsualTime(AtomicU64);

impl UsualTime {
    /// Each sample changes the mean by its difference divided by this number.
    const WEIGHT: u64 = 8;

    /// The mean, to the microsecond; zero before the first sample.
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Adds a sample to the mean. Of several samples added at the same moment, some may be lost; that hardly changes
    /// the mean.
    pub fn learn(&self, sample: Duration) {
        let old = self.0.load(Ordering::Relaxed);
        // Zero would mean that there is no sample yet.
        let sample = (sample.as_micros() as u64).max(1);
        let new = if old == 0 { sample } else { old - old / Self::WEIGHT + sample / Self::WEIGHT };
        self.0.store(new, Ordering::Relaxed);
    }

    /// Lowers the mean a little. Call it when an operation was skipped because the mean is too long: skipped
    /// operations give no samples, so the mean of a slow period would otherwise stay for ever.
    pub fn decay(&self) {
        let old = self.0.load(Ordering::Relaxed);
        self.0.store(old - old.div_ceil(Self::WEIGHT), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_follows_the_samples() {
        let usual = UsualTime::default();

        usual.learn(Duration::from_millis(100));
        assert_eq!(usual.get(), Duration::from_millis(100));
        (0..100).for_each(|_| usual.learn(Duration::from_millis(10)));

        assert!(usual.get() < Duration::from_millis(11), "{:?}", usual.get());
    }

    #[test]
    fn a_sample_of_zero_counts_as_a_microsecond() {
        let usual = UsualTime::default();

        usual.learn(Duration::ZERO);

        assert_eq!(usual.get(), Duration::from_micros(1));
    }

    #[test]
    fn a_slow_period_is_forgotten_even_without_new_samples() {
        let usual = UsualTime::default();
        usual.learn(Duration::from_secs(60));

        (0..200).for_each(|_| usual.decay());

        assert_eq!(usual.get(), Duration::ZERO);
    }
}
