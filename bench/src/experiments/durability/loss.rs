//! What counts as lost.

use std::collections::HashSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one kill took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Loss {
    /// Confirmed entries that are not there.
    pub(super) entries: u64,
    /// How long before the kill the oldest of them was confirmed, in milliseconds.
    pub(super) oldest_ms: f64,
    /// Lost although a younger one is there: no setting may do that.
    pub(super) holes: u64,
}

impl Loss {
    /// Compares how long before the kill each entry, numbered from 0, was confirmed with the numbers that
    /// are still there.
    pub(super) fn of(ages: &[Duration], survived: &HashSet<usize>) -> Self {
        let lost: Vec<usize> = (0..ages.len()).filter(|number| !survived.contains(number)).collect();
        let Some(oldest) = lost.first() else { return Self::default() };
        let youngest = survived.iter().max();
        let holes = lost.iter().filter(|number| Some(*number) < youngest).count();
        let oldest_ms = ages[*oldest].as_secs_f64() * 1e3;
        Self { entries: lost.len() as u64, oldest_ms, holes: holes as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<const N: usize>(ages_ms: &[u64], survived: [usize; N]) -> Loss {
        let ages: Vec<Duration> = ages_ms.iter().copied().map(Duration::from_millis).collect();
        Loss::of(&ages, &survived.into())
    }

    #[test]
    fn the_oldest_of_a_lost_tail_tells_how_far_back_it_goes() {
        let loss = of(&[2000, 1000, 750, 500], [0, 1]);

        assert_eq!(loss, Loss { entries: 2, oldest_ms: 750.0, holes: 0 });
    }

    #[test]
    fn an_entry_that_survives_without_a_confirmation_is_no_loss() {
        assert_eq!(of(&[2000, 1000], [0, 1, 2]), Loss::default());
    }

    #[test]
    fn an_entry_lost_before_one_that_survived_is_a_hole() {
        assert_eq!(of(&[2000, 1000, 500], [0, 2]), Loss { entries: 1, oldest_ms: 1000.0, holes: 1 });
    }

    #[test]
    fn everything_may_be_lost() {
        assert_eq!(of(&[2000, 1000], []), Loss { entries: 2, oldest_ms: 2000.0, holes: 0 });
    }
}
