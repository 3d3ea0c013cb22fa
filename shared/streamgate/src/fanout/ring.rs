use std::collections::VecDeque;

use super::Event;
use crate::stream::EntryId;

/// The last events of the stream, in order: the queue of all subscribers. Each subscriber has its own [`Cursor`].
pub(super) struct Ring<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the first slot. Slots are numbered from 0 on, and a number is used once.
    first: u64,
    /// The life and the id of the last event before the first slot.
    floor: (u64, EntryId),
    /// How often the stream has started over. Ids grow within one life only.
    life: u64,
    /// The id after which the reader began in this life; `None` before it has found its place.
    began_after: Option<EntryId>,
    /// The size of all slots.
    bytes: usize,
    most: usize,
    most_bytes: usize,
}

struct Slot<T> {
    life: u64,
    /// The id of the entry, or the last id of a gap.
    id: EntryId,
    event: Event<T>,
    size: usize,
}

/// What a subscriber has been given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    /// The number of the next slot.
    next: u64,
    life: u64,
    /// The last id that was given, or the id after which it began.
    pub(super) position: EntryId,
}

/// What happened when a subscriber tried to join.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Join {
    /// All that follows is in the ring.
    Joined,
    /// Entries after the position are no longer in the ring.
    Behind,
    /// The stream has started over since the subscriber began.
    StartedOver,
}

impl<T> Ring<T> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            slots: VecDeque::new(),
            first: 0,
            floor: (0, EntryId::MIN),
            life: 0,
            began_after: None,
            bytes: 0,
            most: most.max(1),
            most_bytes,
        }
    }

    /// The reader has found its place.
    pub(super) fn begin(&mut self, after: EntryId) {
        self.began_after.get_or_insert(after);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.began_after.is_some()
    }

    /// The stream has started over; the reader goes on after `after`.
    pub(super) fn start_over(&mut self, after: EntryId) {
        self.life += 1;
        self.began_after = Some(after);
    }

    /// Adds an event with the id of its entry and its size in bytes.
    pub(super) fn push(&mut self, id: EntryId, size: usize, event: Event<T>) {
        self.slots.push_back(Slot { life: self.life, id, event, size });
        self.bytes += size;
        while self.slots.len() > self.most || (self.bytes > self.most_bytes && self.slots.len() > 1) {
            let Some(slot) = self.slots.pop_front() else { return };
            self.bytes -= slot.size;
            self.first += 1;
            self.floor = (slot.life, slot.id);
        }
    }

    /// The cursor of a subscriber that gets what comes next.
    pub(super) fn at_end(&self) -> Cursor {
        let last = self.slots.back().filter(|slot| slot.life == self.life).map(|slot| slot.id);
        let position = last.or(self.began_after).unwrap_or_default();
        Cursor { next: self.first + self.slots.len() as u64, life: self.life, position }
    }

    /// The cursor of a subscriber that must join first.
    pub(super) fn after(&self, position: EntryId) -> Cursor {
        Cursor { next: 0, life: self.life, position }
    }

    /// Points the cursor to the first slot after its position, if all entries after its position are in the ring.
    pub(super) fn join(&self, cursor: &mut Cursor) -> Join {
        if cursor.life != self.life {
            *cursor = self.after(EntryId::MIN);
            return Join::StartedOver;
        }
        let (life, id) = self.floor;
        let complete_after = if life == self.life { Some(id) } else { None };
        if complete_after.max(self.began_after).is_some_and(|complete_after| cursor.position < complete_after)
        {
            return Join::Behind;
        }
        let given = self.slots.partition_point(|slot| (slot.life, slot.id) <= (cursor.life, cursor.position));
        cursor.next = self.first + given as u64;
        Join::Joined
    }

    /// The next event for a subscriber that has joined.
    pub(super) fn take(&self, cursor: &mut Cursor) -> Option<Event<T>> {
        if cursor.next < self.first {
            let (life, id) = self.floor;
            if life != cursor.life {
                (cursor.life, cursor.position) = (life, EntryId::MIN);
                return Some(Event::StartedOver);
            }
            cursor.next = self.first;
            let from = cursor.position.next();
            if from <= id {
                cursor.position = id;
                return Some(Event::Gap { from, to: id });
            }
        }
        loop {
            let slot = self.slots.get((cursor.next - self.first) as usize)?;
            if slot.life != cursor.life {
                (cursor.life, cursor.position) = (slot.life, EntryId::MIN);
                return Some(Event::StartedOver);
            }
            cursor.next += 1;
            // A subscriber may have read further in the history than the reader.
            if slot.id <= cursor.position {
                continue;
            }
            let after = std::mem::replace(&mut cursor.position, slot.id);
            return Some(match &slot.event {
                Event::Gap { from, to } => Event::Gap { from: after.next().max(*from), to: *to },
                event => event.clone(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::stream::Item;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    fn ring(most: usize, most_bytes: usize) -> Ring<u64> {
        let mut ring = Ring::new(most, most_bytes);
        ring.begin(EntryId::MIN);
        ring
    }

    fn push(ring: &mut Ring<u64>, numbers: std::ops::RangeInclusive<u64>) {
        numbers.for_each(|n| ring.push(id(n), 10, Event::Item(Item { id: id(n), value: Arc::new(n) })));
    }

    /// All events for the cursor, as text.
    fn all(ring: &Ring<u64>, cursor: &mut Cursor) -> Vec<String> {
        let text = |event: Event<u64>| match event {
            Event::Item(item) => item.value.to_string(),
            Event::Gap { from, to } => format!("gap {from} {to}"),
            Event::StartedOver => "over".to_owned(),
            Event::Undecodable { id, .. } => format!("bad {id}"),
        };
        std::iter::from_fn(|| ring.take(cursor)).map(text).collect()
    }

    #[test]
    fn a_subscriber_that_keeps_up_gets_every_event_once() {
        let mut ring = ring(3, usize::MAX);
        let mut cursor = ring.at_end();

        for n in (1..30).step_by(3) {
            push(&mut ring, n..=n + 2);
            assert_eq!(all(&ring, &mut cursor), [n, n + 1, n + 2].map(|n| n.to_string()));
        }
    }

    #[test]
    fn an_overflow_is_a_gap_with_the_ids_not_given() {
        let mut ring = ring(3, usize::MAX);
        let mut cursor = ring.at_end();
        push(&mut ring, 1..=2);
        all(&ring, &mut cursor);

        push(&mut ring, 3..=10);

        assert_eq!(all(&ring, &mut cursor), ["gap 2-1 7-0", "8", "9", "10"]);
    }

    #[test]
    fn bytes_are_bounded_too_but_one_event_always_fits() {
        let mut ring = ring(100, 35);
        push(&mut ring, 1..=10);
        assert_eq!((ring.slots.len(), ring.bytes), (3, 30));

        ring.push(id(11), 1_000, Event::StartedOver);

        assert_eq!((ring.slots.len(), ring.bytes), (1, 1_000));
    }

    #[test]
    fn a_subscriber_joins_only_if_the_ring_has_all_it_needs() {
        let mut ring = ring(3, usize::MAX);
        push(&mut ring, 1..=10);
        let join = |at| {
            let mut cursor = ring.after(at);
            (ring.join(&mut cursor), all(&ring, &mut cursor).len())
        };

        assert_eq!(join(id(6)).0, Join::Behind);
        assert_eq!(join(id(7)), (Join::Joined, 3));
        assert_eq!(join(id(9)), (Join::Joined, 1));
        assert_eq!(join(id(12)), (Join::Joined, 0), "it has read further than the reader");
    }

    #[test]
    fn a_subscriber_ahead_of_the_reader_gets_nothing_twice() {
        let mut ring = ring(5, usize::MAX);
        push(&mut ring, 1..=2);
        let mut cursor = ring.after(id(4));
        assert_eq!(ring.join(&mut cursor), Join::Joined);

        push(&mut ring, 3..=6);

        assert_eq!(all(&ring, &mut cursor), ["5", "6"]);
    }

    #[test]
    fn a_stream_that_started_over_is_said_also_after_an_overflow() {
        let mut ring = ring(3, usize::MAX);
        let (mut quick, mut slow) = (ring.at_end(), ring.at_end());
        push(&mut ring, 5..=6);
        assert_eq!(all(&ring, &mut quick), ["5", "6"]);

        ring.start_over(EntryId::MIN);
        push(&mut ring, 1..=2);
        assert_eq!(all(&ring, &mut quick), ["over", "1", "2"]);
        push(&mut ring, 3..=6);

        assert_eq!(all(&ring, &mut slow), ["over", "gap 0-1 3-0", "4", "5", "6"]);
        let mut late = Cursor { next: 0, life: 0, position: id(9) };
        assert_eq!(ring.join(&mut late), Join::StartedOver);
    }
}
