//! What a worker does with an entry, and what becomes of the entry: the engine asks a [`Job`] for both.

use std::future::Future;
use std::sync::Arc;

use super::execution::Execution;
use crate::clock::Clock;
use crate::stream::{Disposition, LeasedEntry};

/// The work of one kind of worker. The engine does everything around it: reading, claims, leases, isolation,
/// settlement, the end.
pub(crate) trait Job: Send + Sync + Sized + 'static {
    /// What the work needs, read from an entry.
    type Task: Send;

    /// What is stored before an entry is settled.
    type Reply: Outgoing;

    /// The worker has joined its group as `consumer`.
    fn joined(&mut self, consumer: &str);

    /// Reads the task of an entry, or concludes at once that there is nothing to do.
    fn accept(&self, leased: &LeasedEntry) -> Result<Self::Task, Conclusion<Self::Reply>>;

    /// Does the work. `None` if the lease was lost: another consumer settles the entry.
    fn perform(
        &self,
        task: Self::Task,
        leased: &LeasedEntry,
        execution: &Execution<Self>,
    ) -> impl Future<Output = Option<Conclusion<Self::Reply>>> + Send;
}

/// What becomes of an entry.
pub(crate) struct Conclusion<R> {
    /// Is stored first, if there is one.
    pub(crate) reply: Option<R>,
    /// Then the entry is settled like this.
    pub(crate) disposition: Disposition,
}

impl<R> Conclusion<R> {
    /// Without a reply.
    pub(crate) fn silent(disposition: Disposition) -> Self {
        Self { reply: None, disposition }
    }
}

/// A reply on its way to a lane. Replies that end at about the same time share an entry.
pub(crate) trait Outgoing: Sized + Send + Sync + 'static {
    /// The stream it goes to.
    fn lane(&self) -> &Arc<str>;

    /// Bytes of its body.
    fn size(&self) -> usize;

    /// True if nobody waits for it any more.
    fn has_expired(&self, clock: &dyn Clock) -> bool;

    /// Encodes replies of one lane as the fields of one entry.
    fn encode_all<'a>(replies: impl Iterator<Item = &'a Self>, put: impl FnMut(&str, &[u8]));
}

/// The reply of a worker that sends none.
pub(crate) enum NoReply {}

impl Outgoing for NoReply {
    fn lane(&self) -> &Arc<str> {
        match *self {}
    }

    fn size(&self) -> usize {
        match *self {}
    }

    fn has_expired(&self, _clock: &dyn Clock) -> bool {
        match *self {}
    }

    fn encode_all<'a>(_replies: impl Iterator<Item = &'a Self>, _put: impl FnMut(&str, &[u8])) {}
}
