use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long something usually takes: an exponentially weighted mean of the last dozen or so.
#[derive(Debug, Default)]
pub struct UsualTime(AtomicU64);

impl UsualTime {
    /// One in this many of the difference is learnt from each sample.
    const WEIGHT: u64 = 8;

    /// The mean, to the microsecond; zero while nothing was learnt.
    pub fn get(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Learns from a sample. Samples learnt at the same moment may overwrite each other, which a mean
    /// survives.
    pub fn learn(&self, sample: Duration) {
        let old = self.0.load(Ordering::Relaxed);
        // Zero would mean that nothing was learnt.
        let sample = (sample.as_micros() as u64).max(1);
        let new = if old == 0 { sample } else { old - old / Self::WEIGHT + sample / Self::WEIGHT };
        self.0.store(new, Ordering::Relaxed);
    }

    /// Something was not done because it would have taken too long, so nothing is learnt from it:
    /// trust the mean a little less, or a slow spell would be remembered for ever.
    pub fn doubt(&self) {
        let old = self.0.load(Ordering::Relaxed);
        self.0.store(old - old.div_ceil(Self::WEIGHT), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_it_sees() {
        let usual = UsualTime::default();

        usual.learn(Duration::from_millis(100));
        assert_eq!(usual.get(), Duration::from_millis(100));
        (0..100).for_each(|_| usual.learn(Duration::from_millis(10)));

        assert!(usual.get() < Duration::from_millis(11), "{:?}", usual.get());
    }

    #[test]
    fn what_takes_no_time_at_all_is_known_too() {
        let usual = UsualTime::default();

        usual.learn(Duration::ZERO);

        assert_eq!(usual.get(), Duration::from_micros(1));
    }

    #[test]
    fn a_slow_spell_is_forgotten_even_if_nothing_runs_any_more() {
        let usual = UsualTime::default();
        usual.learn(Duration::from_secs(60));

        (0..200).for_each(|_| usual.doubt());

        assert_eq!(usual.get(), Duration::ZERO);
    }
}
