//! Takes requests back while no worker is alive: removes them from the stream and refuses their callers.

use metrics::Counter;

use super::super::pending::PendingReplies;
use crate::connection::{Error, Redis};
use crate::envelope::CorrelationId;
use crate::stream::{Entry, EntryId, StreamKey, Undelivered};

/// Takes back undelivered requests of this process during one absence of the workers. It stores nothing
/// per request, because the ids are on the stream.
pub(super) struct TakeBack {
    undelivered: Undelivered,
    pending: PendingReplies,
    taken_back: Counter,
}

impl TakeBack {
    pub(super) fn new(
        redis: Redis,
        requests: StreamKey,
        pending: PendingReplies,
        taken_back: Counter,
    ) -> Self {
        Self { undelivered: Undelivered::new(redis, requests), pending, taken_back }
    }

    /// Removes the undelivered requests whose callers wait in this process. Only after the removal it tells a caller
    /// that no work was done. A delivered request stays, and its caller keeps waiting.
    pub(super) async fn run(&mut self) -> Result<(), Error> {
        loop {
            let page = self.undelivered.next_page().await?;
            if page.is_empty() {
                return Ok(());
            }
            let ours: Vec<(EntryId, CorrelationId)> =
                page.iter().filter_map(stored).filter(|(_, id)| self.pending.was_stored_once(*id)).collect();
            if ours.is_empty() {
                continue;
            }
            let entries: Vec<EntryId> = ours.iter().map(|(entry, _)| *entry).collect();
            let taken = self.undelivered.take_back(&entries).await?;
            for (_, id) in ours.iter().filter(|(entry, _)| taken.contains(entry)) {
                self.taken_back.increment(1);
                self.pending.was_taken_back(*id);
            }
            if !taken.is_empty() {
                tracing::warn!(
                    requests = taken.len(),
                    "no worker is alive: requests taken back, callers refused"
                );
            }
        }
    }
}

fn stored(entry: &Entry) -> Option<(EntryId, CorrelationId)> {
    Some((entry.id, CorrelationId::from_bytes(entry.fields.get("id")?)?))
}
