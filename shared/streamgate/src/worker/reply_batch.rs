//! Packs replies that finish at about the same time into shared entries, one lane per entry.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::execution::Settlement;
use super::job::Outgoing;
use crate::connection::{Commands, LARGEST_PIPELINE};
use crate::stream::append_to;

/// The most replies in one pipeline: the number of held requests, within these bounds.
pub(super) const MOST_REPLIES: RangeInclusive<usize> = 32..=128;

/// Bytes of bodies in one entry; only a single reply may exceed it. The limit is small because the reader of an entry
/// keeps the memory of all its bodies while it keeps one of them.
const LARGEST_ENTRY: usize = 64 << 10;

/// The replies of these settlements.
pub(super) fn replies_in<R>(settlements: &[Settlement<R>]) -> impl Iterator<Item = &R> {
    settlements.iter().filter_map(|settlement| settlement.reply.as_ref())
}

/// How many of the first `replies` fit into one pipeline. They are chosen before they are grouped by lane, so that the
/// replies that have waited longest go first, whatever their lane.
pub(super) fn as_one_pipeline<'a, R: Outgoing>(replies: impl Iterator<Item = &'a R>) -> usize {
    let replies = replies.take(*MOST_REPLIES.end());
    let mut bytes = 0;
    let fits = |(n, next): &(usize, &R)| {
        bytes += next.size();
        *n == 0 || bytes <= LARGEST_PIPELINE
    };
    replies.enumerate().take_while(fits).count()
}

/// Groups settlements by lane, in the order of each lane's first settlement.
pub(super) fn group_by_lane<T>(settlements: &mut [T], lane: impl Fn(&T) -> Option<&Arc<str>>) {
    let mut lanes: Vec<Arc<str>> = Vec::new();
    for lane in settlements.iter().filter_map(&lane) {
        if !lanes.contains(lane) {
            lanes.push(Arc::clone(lane));
        }
    }
    if lanes.len() > 1 {
        settlements.sort_by_cached_key(|it| lane(it).and_then(|lane| lanes.iter().position(|l| l == lane)));
    }
}

/// How many of the first `replies` fit into one entry: those of one lane, up to [`LARGEST_ENTRY`] bytes, but at least
/// one.
pub(super) fn as_one_entry<'a, R: Outgoing>(mut replies: impl Iterator<Item = &'a R>) -> usize {
    let Some(first) = replies.next() else { return 0 };
    let mut bytes = first.size();
    let fits = |next: &&R| {
        bytes += next.size();
        bytes <= LARGEST_ENTRY && next.lane() == first.lane()
    };
    1 + replies.take_while(fits).count()
}

/// Adds an XADD to the pipeline that stores replies of one lane in one entry.
pub(super) fn store<'a, R: Outgoing>(replies: impl Iterator<Item = &'a R>, pipeline: &mut Commands) {
    let mut replies = replies.peekable();
    let Some(lane) = replies.peek().map(|first| first.lane()) else { return };
    pipeline.command(|args| {
        append_to(lane, args);
        R::encode_all(replies, |name, value| {
            args.arg(name.as_bytes()).arg(value);
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    struct Sized {
        lane: Arc<str>,
        bytes: usize,
    }

    impl Outgoing for Sized {
        fn lane(&self) -> &Arc<str> {
            &self.lane
        }

        fn size(&self) -> usize {
            self.bytes
        }

        fn has_expired(&self, _clock: &dyn Clock) -> bool {
            false
        }

        fn encode_all<'a>(_replies: impl Iterator<Item = &'a Self>, _put: impl FnMut(&str, &[u8])) {}
    }

    fn outgoing(lane: &str, bytes: usize) -> Sized {
        Sized { lane: lane.into(), bytes }
    }

    fn in_one_entry(replies: &[(&str, usize)]) -> usize {
        let replies: Vec<_> = replies.iter().map(|(lane, bytes)| outgoing(lane, *bytes)).collect();
        as_one_entry(replies.iter())
    }

    #[test]
    fn small_replies_to_one_lane_share_an_entry() {
        let half = LARGEST_ENTRY / 2;

        assert_eq!(in_one_entry(&[]), 0);
        assert_eq!(in_one_entry(&[("a", 9), ("a", 0), ("a", 9), ("b", 9), ("a", 9)]), 3);
        assert_eq!(in_one_entry(&[("a", half), ("a", half), ("a", 0), ("a", 1)]), 3);
        assert_eq!(in_one_entry(&[("a", LARGEST_ENTRY + 1), ("a", 0)]), 1);
        assert_eq!(in_one_entry(&[("a", 1), ("a", LARGEST_ENTRY), ("a", 1)]), 1);
    }

    #[test]
    fn the_oldest_replies_go_first_whatever_their_lane() {
        let large = LARGEST_PIPELINE / 64;
        let of = |count, lane, bytes| std::iter::repeat_with(move || outgoing(lane, bytes)).take(count);
        let pipeline = |replies: &[Sized]| as_one_pipeline(replies.iter());

        let backlog: Vec<_> = of(60, "a", large).chain(of(1, "b", 9)).chain(of(70, "a", large)).collect();
        assert_eq!(pipeline(&backlog), 64, "the reply for b is among them");
        assert_eq!(pipeline(&of(2, "a", LARGEST_PIPELINE + 1).collect::<Vec<_>>()), 1);
        assert_eq!(pipeline(&of(500, "a", 9).collect::<Vec<_>>()), *MOST_REPLIES.end());
        assert_eq!(pipeline(&[]), 0);
    }

    #[test]
    fn settlements_are_grouped_by_lane_and_keep_their_order() {
        let of = |lane: &str, n| (Some(Arc::<str>::from(lane)), n);
        let mut settlements = [of("b", 1), of("a", 2), of("b", 3), of("c", 4), of("a", 5)];

        group_by_lane(&mut settlements, |(lane, _)| lane.as_ref());

        assert_eq!(settlements.map(|(_, n)| n), [1, 3, 2, 5, 4]);
    }
}
