use std::sync::Arc;

use crate::clock::Clock;
use crate::envelope::{Deadline, Reply};
use crate::worker::Outgoing;

/// A reply on its way to a lane.
pub(super) struct OutgoingReply {
    pub(super) lane: Arc<str>,
    pub(super) reply: Reply,
    pub(super) deadline: Deadline,
}

impl Outgoing for OutgoingReply {
    fn lane(&self) -> &Arc<str> {
        &self.lane
    }

    fn size(&self) -> usize {
        self.reply.body.len()
    }

    fn has_expired(&self, clock: &dyn Clock) -> bool {
        self.deadline.has_passed(clock)
    }

    fn encode_all<'a>(replies: impl Iterator<Item = &'a Self>, put: impl FnMut(&str, &[u8])) {
        Reply::encode_all(replies.map(|outgoing| &outgoing.reply), put);
    }
}
