use std::time::Duration;

/// Counts durations in buckets: eight to each power of two of microseconds, so a quantile is too large by at most an
/// eighth (the layout of HdrHistogram, with three bits).
#[derive(Debug)]
pub(crate) struct Times {
    counts: [u64; BUCKETS],
    count: u64,
    total: Duration,
}

const BUCKETS: usize = 320;

impl Times {
    pub(crate) const fn new() -> Self {
        Self { counts: [0; BUCKETS], count: 0, total: Duration::ZERO }
    }

    pub(crate) fn record(&mut self, spent: Duration) {
        self.counts[bucket_of(spent.as_micros() as u64)] += 1;
        self.count += 1;
        self.total += spent;
    }

    /// Zero without a duration.
    pub(crate) fn mean(&self) -> Duration {
        Duration::from_secs_f64(self.total.as_secs_f64() / self.count.max(1) as f64)
    }

    /// The time within which this share of all durations lies; zero without a duration.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        bucket.map_or(Duration::ZERO, |bucket| Duration::from_micros(end_of(bucket)))
    }
}

fn bucket_of(us: u64) -> usize {
    if us < 8 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let eighth = (us >> (power - 3)) as usize & 7;
    ((power - 2) * 8 + eighth).min(BUCKETS - 1)
}

/// The longest duration in a bucket, in microseconds.
fn end_of(bucket: usize) -> u64 {
    match bucket / 8 {
        0 => bucket as u64,
        octave => ((bucket % 8 + 9) as u64) << (octave - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_too_large_by_at_most_an_eighth() {
        for us in [0, 1, 7, 8, 9, 100, 1_000, 12_345, 3_600_000_000] {
            let mut times = Times::new();
            times.record(Duration::from_micros(us));
            let found = times.quantile(0.99).as_micros() as u64;
            assert!((us..=us + us / 8 + 1).contains(&found), "{us}: {found}");
        }
    }

    #[test]
    fn most_durations_decide_a_quantile_and_all_the_mean() {
        let mut times = Times::new();
        assert_eq!((times.quantile(0.99), times.mean()), (Duration::ZERO, Duration::ZERO));
        (0..99).for_each(|_| times.record(Duration::from_millis(1)));
        times.record(Duration::from_secs(1));

        assert!(
            times.quantile(0.99) < Duration::from_millis(2) && times.quantile(1.0) >= Duration::from_secs(1)
        );
        assert_eq!(times.mean().as_micros(), 10_990);
    }
}
