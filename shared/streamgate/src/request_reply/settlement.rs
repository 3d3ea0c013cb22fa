//! What a delivery ends with, and how the replies among it share entries.

use std::sync::Arc;

use tokio::sync::OwnedRwLockWriteGuard;

use crate::connection::Commands;
use crate::envelope::{Deadline, Reply};
use crate::resilience::Slot;
use crate::stream::{Delivery, Disposition, append_to};

/// A delivery whose work is over, one way or another. It keeps its lease and its slot until Redis
/// has confirmed its end.
pub(super) struct Settlement {
    pub(super) delivery: Delivery,
    /// Counts against the worker's concurrency until then: a Redis that refuses replies slows the
    /// reading down instead of filling the memory.
    pub(super) _slot: Slot,
    /// Held by an entry that must be alone in its worker until it is settled.
    pub(super) _alone: Option<OwnedRwLockWriteGuard<()>>,
    /// What the caller is told, and where; nothing for work nobody waits for.
    pub(super) reply: Option<Outgoing>,
    /// What becomes of the entry once the reply is stored.
    pub(super) disposition: Disposition,
}

impl Settlement {
    fn lane(&self) -> Option<&Arc<str>> {
        self.reply.as_ref().map(|outgoing| &outgoing.lane)
    }
}

/// A reply on its way to a lane.
pub(super) struct Outgoing {
    pub(super) lane: Arc<str>,
    pub(super) reply: Reply,
    pub(super) deadline: Deadline,
}

/// Bytes of bodies in one entry, but for a single larger one. Whoever keeps one of the bodies keeps the
/// memory of the others.
const LARGEST_ENTRY: usize = 64 << 10;

/// Brings those for one lane together; the lane of the first stays first, so that none is left behind for ever.
pub(super) fn bring_lanes_together(settlements: &mut [Settlement]) {
    let mut lanes: Vec<Arc<str>> = Vec::new();
    for lane in settlements.iter().filter_map(Settlement::lane) {
        if !lanes.contains(lane) {
            lanes.push(Arc::clone(lane));
        }
    }
    if lanes.len() > 1 {
        settlements.sort_by_cached_key(|s| s.lane().and_then(|lane| lanes.iter().position(|l| l == lane)));
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

/// Packs replies to one lane as one entry. False if it has to wait for the next pipeline.
pub(super) fn store<'a>(replies: impl Iterator<Item = &'a Outgoing>, pipeline: &mut Commands) -> bool {
    let mut replies = replies.peekable();
    let Some(Outgoing { lane, .. }) = replies.peek() else { return true };
    pipeline.command_if_it_fits(|args| {
        append_to(lane, args);
        let mut before = None;
        for Outgoing { reply, .. } in replies {
            reply.encode(before, |name, value| {
                args.arg(name.as_bytes()).arg(value);
            });
            before = Some(reply);
        }
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::envelope::CorrelationId;

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
}
