use std::time::Duration;

use crate::stream::{EntryId, InvalidStreams};

/// Windows that follow each other: each entry is in one of them.
///
/// They begin at multiples of their length since 1970-01-01T00:00:00Z, so all processes have the same windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tumbling(Duration);

impl Tumbling {
    /// Windows of this length, in whole milliseconds, at least one.
    pub fn of(length: Duration) -> Self {
        Self(length)
    }
}

/// Windows that overlap: an entry is in each window that covers its time.
///
/// They begin at multiples of their step since 1970-01-01T00:00:00Z, so all processes have the same windows. An entry
/// is added to `length / step` windows, which costs as much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    length: Duration,
    step: Duration,
}

impl Sliding {
    /// Windows of this length, in whole milliseconds, that begin as often; see [`Sliding::every`].
    pub fn of(length: Duration) -> Self {
        Self { length, step: length }
    }

    /// A window begins each `step`, in whole milliseconds, at least one and at most the length.
    #[must_use]
    pub fn every(mut self, step: Duration) -> Self {
        self.step = step;
        self
    }
}

/// Which windows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    length: Duration,
    step: Duration,
}

impl From<Tumbling> for Shape {
    fn from(Tumbling(length): Tumbling) -> Self {
        Self { length, step: length }
    }
}

impl From<Sliding> for Shape {
    fn from(Sliding { length, step }: Sliding) -> Self {
        Self { length, step }
    }
}

/// The windows cannot be computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindows {
    /// The length or the step is zero or not in whole milliseconds.
    #[error("{what} of a window must be whole milliseconds, at least one, not {is:?}")]
    NotMilliseconds {
        /// `the length` or `the step`.
        what: &'static str,
        /// What it is.
        is: Duration,
    },
    /// Entries between two windows would be in none.
    #[error(
        "the step {step:?} must not be longer than the length {length:?}: entries between would be in no window"
    )]
    StepLongerThanLength {
        /// The step.
        step: Duration,
        /// The length.
        length: Duration,
    },
    /// Too many windows would be open.
    #[error(
        "{open} windows would be open at once: at most {MOST_OPEN} may; choose a longer step or less lateness"
    )]
    TooMany {
        /// How many.
        open: u128,
    },
    /// The sources cannot be read together.
    #[error(transparent)]
    Streams(#[from] InvalidStreams),
}

/// The most windows that are open at once.
pub(super) const MOST_OPEN: u128 = 10_000;

/// Windows in milliseconds, checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) length: u64,
    pub(super) step: u64,
    /// How long a window stays open after its end.
    pub(super) lateness: u64,
}

impl Grid {
    pub(super) fn of(shape: Shape, lateness: Duration) -> Result<Self, InvalidWindows> {
        let whole = |what, is: Duration| match u64::try_from(is.as_millis()) {
            Ok(ms) if ms > 0 && Duration::from_millis(ms) == is => Ok(ms),
            _ => Err(InvalidWindows::NotMilliseconds { what, is }),
        };
        let (length, step) = (whole("the length", shape.length)?, whole("the step", shape.step)?);
        if step > length {
            return Err(InvalidWindows::StepLongerThanLength { step: shape.step, length: shape.length });
        }
        let open = (u128::from(length) + lateness.as_millis()) / u128::from(step) + 1;
        if open > MOST_OPEN {
            return Err(InvalidWindows::TooMany { open });
        }
        Ok(Self { length, step, lateness: lateness.as_millis() as u64 })
    }

    /// The windows of a shape that is checked elsewhere.
    pub(super) fn unchecked(shape: Shape) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self { length: ms(shape.length), step: ms(shape.step), lateness: 0 }
    }

    /// The beginnings of the windows that cover a time, the earliest first.
    pub(super) fn starts(self, ms: u64) -> impl Iterator<Item = u64> {
        let last = ms - ms % self.step;
        // The first multiple of the step after `ms - length`.
        let first = match ms.checked_sub(self.length) {
            Some(before) => before - before % self.step + self.step,
            None => 0,
        };
        (0..=(last - first) / self.step).map(move |n| first + n * self.step)
    }

    /// The time at which a window that begins at `start` closes.
    pub(super) fn closes(self, start: u64) -> u64 {
        start.saturating_add(self.length).saturating_add(self.lateness)
    }

    /// The id after which all entries of the windows that end after `end` are.
    pub(super) fn resume_after(self, end: u64) -> EntryId {
        let start = end.saturating_add(self.step).saturating_sub(self.length);
        EntryId { ms: start, seq: 0 }.previous()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(length: u64, step: u64) -> Grid {
        let shape = Sliding::of(Duration::from_millis(length)).every(Duration::from_millis(step));
        Grid::of(shape.into(), Duration::ZERO).expect("valid")
    }

    #[test]
    fn an_entry_is_in_every_window_that_covers_it() {
        for (length, step) in [(10, 10), (10, 5), (10, 3), (7, 1), (60, 10)] {
            let grid = grid(length, step);
            for ms in 0..200 {
                let found: Vec<u64> = grid.starts(ms).collect();

                let covers = |start: &u64| *start <= ms && ms < start + length;
                let expected: Vec<u64> = (0..=ms).step_by(step as usize).filter(covers).collect();
                assert_eq!(found, expected, "{ms} in {length} every {step}");
            }
        }
    }

    #[test]
    fn the_largest_time_overflows_nothing() {
        let grid = grid(60_000, 10_000);

        assert!(grid.starts(u64::MAX).all(|start| grid.closes(start) >= start));
    }

    #[test]
    fn windows_that_cannot_be_computed_are_refused() {
        let refused = |shape: Shape, lateness| Grid::of(shape, lateness).expect_err("refused").to_string();
        let ms = Duration::from_millis;

        assert!(refused(Tumbling::of(Duration::ZERO).into(), ms(0)).contains("at least one"));
        assert!(refused(Tumbling::of(Duration::from_micros(1_500)).into(), ms(0)).contains("1.5ms"));
        assert!(refused(Sliding::of(ms(10)).every(ms(11)).into(), ms(0)).contains("no window"));
        assert!(refused(Sliding::of(ms(60_000)).every(ms(1)).into(), ms(0)).contains("60001 windows"));
        assert!(refused(Tumbling::of(ms(1)).into(), Duration::MAX).contains("less lateness"));
    }
}
