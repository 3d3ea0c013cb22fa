//! How replies that finish together share the entries of their lanes.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::outcome::{Outgoing, Settlement};
use crate::connection::{Commands, LARGEST_PIPELINE};
use crate::envelope::Reply;
use crate::stream::append_to;

/// Replies in one pipeline: as many as are under way, within these bounds.
pub(super) const MOST_REPLIES: RangeInclusive<usize> = 32..=128;

/// Bytes of bodies in one entry, but for a single larger one. Whoever keeps one of the bodies keeps the
/// memory of the others.
const LARGEST_ENTRY: usize = 64 << 10;

/// What callers are told by these.
pub(super) fn replies_in(settlements: &[Settlement]) -> impl Iterator<Item = &Outgoing> {
    settlements.iter().filter_map(|settlement| settlement.reply.as_ref())
}

/// How many of the first of these make a pipeline. They are chosen before lanes are brought together: what has
/// waited longest goes, whatever the lane of those behind it.
pub(super) fn as_one_pipeline<'a>(replies: impl Iterator<Item = &'a Outgoing>) -> usize {
    let replies = replies.take(*MOST_REPLIES.end());
    let mut bytes = 0;
    let fits = |(n, next): &(usize, &Outgoing)| {
        bytes += next.reply.body.len();
        *n == 0 || bytes <= LARGEST_PIPELINE
    };
    replies.enumerate().take_while(fits).count()
}

/// Brings those for one lane together, in the order in which the lanes come first.
pub(super) fn bring_lanes_together<T>(settlements: &mut [T], lane: impl Fn(&T) -> Option<&Arc<str>>) {
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

/// How many of the first of these go into one entry: those for one lane, as long as it stays small, and
/// one at the least.
pub(super) fn as_one_entry<'a>(mut replies: impl Iterator<Item = &'a Outgoing>) -> usize {
    let Some(first) = replies.next() else { return 0 };
    let mut bytes = first.reply.body.len();
    let fits = |next: &&Outgoing| {
        bytes += next.reply.body.len();
        bytes <= LARGEST_ENTRY && next.lane == first.lane
    };
    1 + replies.take_while(fits).count()
}

/// Packs replies to one lane as one entry.
pub(super) fn store<'a>(replies: impl Iterator<Item = &'a Outgoing>, pipeline: &mut Commands) {
    let mut replies = replies.peekable();
    let Some(Outgoing { lane, .. }) = replies.peek() else { return };
    pipeline.command(|args| {
        append_to(lane, args);
        Reply::encode_all(replies.map(|outgoing| &outgoing.reply), |name, value| {
            args.arg(name.as_bytes()).arg(value);
        });
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::{CorrelationId, Deadline};

    fn outgoing(lane: &str, bytes: usize) -> Outgoing {
        let reply =
            Reply { body: Bytes::from(vec![b'x'; bytes]), ..Reply::problem(CorrelationId::mint(), 502, "") };
        Outgoing { lane: lane.into(), reply, deadline: Deadline::at(0) }
    }

    fn together(replies: &[(&str, usize)]) -> usize {
        let replies: Vec<_> = replies.iter().map(|(lane, bytes)| outgoing(lane, *bytes)).collect();
        as_one_entry(replies.iter())
    }

    #[test]
    fn small_replies_to_one_lane_share_an_entry() {
        let half = LARGEST_ENTRY / 2;

        assert_eq!(together(&[]), 0);
        assert_eq!(together(&[("a", 9), ("a", 0), ("a", 9), ("b", 9), ("a", 9)]), 3);
        assert_eq!(together(&[("a", half), ("a", half), ("a", 0), ("a", 1)]), 3);
        assert_eq!(together(&[("a", LARGEST_ENTRY + 1), ("a", 0)]), 1);
        assert_eq!(together(&[("a", 1), ("a", LARGEST_ENTRY), ("a", 1)]), 1);
    }

    #[test]
    fn what_has_waited_longest_goes_first_whatever_its_lane() {
        let large = LARGEST_PIPELINE / 64;
        let of = |count, lane, bytes| std::iter::repeat_with(move || outgoing(lane, bytes)).take(count);
        let pipeline = |replies: &[Outgoing]| as_one_pipeline(replies.iter());

        let backlog: Vec<_> = of(60, "a", large).chain(of(1, "b", 9)).chain(of(70, "a", large)).collect();
        assert_eq!(pipeline(&backlog), 64, "the one for b is among them");
        assert_eq!(pipeline(&of(2, "a", LARGEST_PIPELINE + 1).collect::<Vec<_>>()), 1);
        assert_eq!(pipeline(&of(500, "a", 9).collect::<Vec<_>>()), *MOST_REPLIES.end());
        assert_eq!(pipeline(&[]), 0);
    }

    #[test]
    fn lanes_are_brought_together_and_keep_their_order() {
        let of = |lane: &str, n| (Some(Arc::<str>::from(lane)), n);
        let mut settlements = [of("b", 1), of("a", 2), of("b", 3), of("c", 4), of("a", 5)];

        bring_lanes_together(&mut settlements, |(lane, _)| lane.as_ref());

        assert_eq!(settlements.map(|(_, n)| n), [1, 3, 2, 5, 4]);
    }
}
