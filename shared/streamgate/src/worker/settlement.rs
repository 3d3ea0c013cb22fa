use tokio::sync::OwnedRwLockWriteGuard;

use super::job::{Conclusion, Outgoing};
use crate::resilience::Slot;
use crate::stream::{Disposition, LeasedEntry};

/// A delivery whose work has ended, with or without success. It keeps its lease and its slot until it is settled.
pub(super) struct Settlement<R> {
    pub(super) delivery: LeasedEntry,
    /// Counts against the worker's concurrency until then. If Redis refuses replies, the worker therefore reads less
    /// instead of filling its memory.
    _slot: Slot,
    /// The write lock of a suspect, which must run alone until it is settled.
    _alone: Option<OwnedRwLockWriteGuard<()>>,
    /// The reply; `None` if the caller no longer waits, or there is none.
    pub(super) reply: Option<R>,
    /// What to do with the entry once the reply is stored.
    pub(super) disposition: Disposition,
}

impl<R> Settlement<R> {
    pub(super) fn new(
        delivery: LeasedEntry,
        slot: Slot,
        alone: Option<OwnedRwLockWriteGuard<()>>,
        conclusion: Conclusion<R>,
    ) -> Self {
        let Conclusion { reply, disposition } = conclusion;
        Self { delivery, _slot: slot, _alone: alone, reply, disposition }
    }
}

impl<R: Outgoing> Settlement<R> {
    pub(super) fn lane(&self) -> Option<&std::sync::Arc<str>> {
        self.reply.as_ref().map(Outgoing::lane)
    }
}
