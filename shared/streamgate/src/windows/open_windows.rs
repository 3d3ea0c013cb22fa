use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Aggregate;
use super::shape::Grid;
use crate::stream::Item;

/// The result of one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window<O> {
    /// Its first millisecond since 1970-01-01T00:00:00Z.
    pub start_ms: u64,
    /// The millisecond after its last.
    pub end_ms: u64,
    /// The number of items in it.
    pub count: u64,
    /// The result.
    pub value: O,
    /// True if reading began within the window, so that items may be missing. Such a window is never stored.
    #[serde(skip)]
    pub partial: bool,
}

/// The windows that are not closed yet, and the time up to which all entries are known.
pub(super) struct OpenWindows<T, A: Aggregate<T>> {
    grid: Grid,
    aggregate: A,
    open: BTreeMap<u64, (u64, A::State)>,
    /// Every window that closes at or before this time is closed.
    watermark: u64,
    /// Reading began after this time.
    begun_after: Option<u64>,
}

impl<T, A: Aggregate<T>> OpenWindows<T, A> {
    pub(super) fn new(grid: Grid, aggregate: A) -> Self {
        Self { grid, aggregate, open: BTreeMap::new(), watermark: 0, begun_after: None }
    }

    /// Entries up to this time may not have been read.
    pub(super) fn begin_after(&mut self, ms: u64) {
        self.begun_after = self.begun_after.max(Some(ms));
    }

    /// Adds an item to its windows. The item is given back if one of them has closed: it is late for that one, and
    /// counts in those that are open.
    pub(super) fn add(&mut self, item: Item<T>) -> Option<Item<T>> {
        let mut late = false;
        for start in self.grid.starts(item.id.ms) {
            if self.grid.closes(start) <= self.watermark {
                late = true;
                continue;
            }
            let (count, state) = self.open.entry(start).or_insert_with(|| (0, self.aggregate.start()));
            *count += 1;
            self.aggregate.add(state, &item);
        }
        late.then_some(item)
    }

    /// All entries before `ms` have been added, unless they are late. Closes windows, the earliest first.
    pub(super) fn advance(&mut self, ms: u64) -> Vec<Window<A::Output>> {
        self.watermark = self.watermark.max(ms);
        let mut closed = Vec::new();
        while let Some(first) = self.open.first_entry() {
            let start = *first.key();
            if self.grid.closes(start) > self.watermark {
                break;
            }
            let (count, state) = first.remove();
            closed.push(Window {
                start_ms: start,
                end_ms: start.saturating_add(self.grid.length),
                count,
                value: self.aggregate.finish(state),
                partial: self.begun_after.is_some_and(|begun_after| start <= begun_after),
            });
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Count, Sliding, Tumbling};
    use super::*;
    use crate::stream::EntryId;

    fn open(shape: impl Into<super::super::Shape>, lateness: u64) -> OpenWindows<(), Count> {
        let grid = Grid::of(shape.into(), Duration::from_millis(lateness)).expect("valid");
        OpenWindows::new(grid, Count)
    }

    fn item(ms: u64) -> Item<()> {
        Item { id: EntryId { ms, seq: 0 }, value: () }
    }

    fn of(closed: Vec<Window<u64>>) -> Vec<(u64, u64, u64)> {
        closed.into_iter().map(|window| (window.start_ms, window.end_ms, window.value)).collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_tumbling_window_closes_when_time_passes_its_end() {
        let mut windows = open(Tumbling::of(ms(10)), 0);
        for at in [0, 9, 10, 19, 25] {
            assert!(windows.add(item(at)).is_none());
        }

        assert_eq!(of(windows.advance(9)), []);
        assert_eq!(of(windows.advance(10)), [(0, 10, 2)]);
        assert_eq!(of(windows.advance(1_000)), [(10, 20, 2), (20, 30, 1)]);
        assert!(windows.open.is_empty());
    }

    #[test]
    fn sliding_windows_count_an_item_as_often_as_they_overlap() {
        let mut windows = open(Sliding::of(ms(10)).every(ms(5)), 0);
        for at in [7, 12] {
            windows.add(item(at));
        }

        assert_eq!(of(windows.advance(100)), [(0, 10, 1), (5, 15, 2), (10, 20, 1)]);
    }

    #[test]
    fn lateness_keeps_a_window_open_and_no_longer() {
        let mut windows = open(Tumbling::of(ms(10)), 5);
        windows.add(item(3));
        assert_eq!(of(windows.advance(14)), []);
        assert!(windows.add(item(4)).is_none(), "in time");
        assert_eq!(of(windows.advance(15)), [(0, 10, 2)]);

        let late = windows.add(item(5)).expect("late");

        assert_eq!(late.id.ms, 5);
        assert_eq!(of(windows.advance(100)), [], "a closed window is not opened again");
    }

    #[test]
    fn an_item_late_for_one_window_counts_in_the_others() {
        let mut windows = open(Sliding::of(ms(10)).every(ms(5)), 0);
        windows.advance(10);

        assert!(windows.add(item(7)).is_some());

        assert_eq!(of(windows.advance(100)), [(5, 15, 1)]);
    }

    #[test]
    fn windows_in_which_reading_began_are_partial() {
        let mut windows = open(Tumbling::of(ms(10)), 0);
        windows.begin_after(10);
        for at in [11, 21] {
            windows.add(item(at));
        }

        let partial: Vec<bool> = windows.advance(100).iter().map(|window| window.partial).collect();

        assert_eq!(partial, [true, false]);
    }
}
