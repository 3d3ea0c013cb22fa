use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Snapshot;

/// Computes rates from the snapshots of the last ten seconds.
#[derive(Debug, Default)]
pub struct Meter(VecDeque<Sample>);

/// Messages per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// Appended to the stream.
    pub written: f64,
    /// Acknowledged by the group.
    pub done: f64,
}

#[derive(Debug)]
struct Sample {
    at: Instant,
    written: u64,
    done: u64,
}

const WINDOW: Duration = Duration::from_secs(10);

impl Meter {
    /// The rates up to this snapshot, which was read now.
    pub fn rates(&mut self, snapshot: &Snapshot) -> Rates {
        let written = snapshot.stream.as_ref().map_or(0, |info| info.entries_added);
        let open = snapshot.group().map_or(written, |it| it.pending + it.lag.unwrap_or_default());
        self.add(Sample { at: Instant::now(), written, done: written.saturating_sub(open) })
    }

    fn add(&mut self, now: Sample) -> Rates {
        // The stream was deleted, or is another one.
        if self.0.back().is_some_and(|last| last.written > now.written) {
            self.0.clear();
        }
        while self.0.len() > 1 && self.0.front().is_some_and(|it| now.at.duration_since(it.at) > WINDOW) {
            self.0.pop_front();
        }
        let rates = self.0.front().map_or(Rates::default(), |first| {
            let seconds = now.at.duration_since(first.at).as_secs_f64().max(0.001);
            let per_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
            Rates { written: per_second(now.written, first.written), done: per_second(now.done, first.done) }
        });
        self.0.push_back(now);
        rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_last_ten_seconds() {
        let (mut meter, start) = (Meter::default(), Instant::now());
        let mut rates = |seconds, written, done| {
            let rates = meter.add(Sample { at: start + Duration::from_secs(seconds), written, done });
            (rates.written, rates.done)
        };

        assert_eq!(rates(0, 100, 100), (0.0, 0.0));
        assert_eq!(rates(10, 150, 120), (5.0, 2.0));
        assert_eq!(rates(20, 150, 150), (0.0, 3.0));
        assert_eq!(rates(21, 3, 3), (0.0, 0.0), "the stream started over");
    }
}
