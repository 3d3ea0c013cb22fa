use std::time::Duration;

use tokio::time::Instant;

use super::consumer::Found;
use super::consumer_group::CLAIMABLE_AT_ONCE_MS;
use super::leased_entry::SUSPECT_FROM;
use super::{ConsumerGroup, LeasedEntry, Leases};
use crate::connection::{Error, ErrorKind, Script};
use crate::stream::EntryId;

/// Takes over entries that their consumer has let idle for longer than a lease: the consumer died, hangs or
/// handed them back.
pub struct Claimer {
    group: ConsumerGroup,
    leases: Leases,
    script: Script,
    cursor: EntryId,
    left_suspects: bool,
}

impl Claimer {
    /// A claimer of `group` whose entries are held in `leases`.
    pub fn new(group: ConsumerGroup, leases: Leases) -> Self {
        let script = Script::new(include_str!("../scripts/claim_idle.lua"));
        Self { group, leases, script, cursor: EntryId::MIN, left_suspects: false }
    }

    /// The length of a lease.
    pub fn claim_min_idle(&self) -> Duration {
        self.group.settings().claim_min_idle
    }

    /// True if the last claim reached the end of the pending entries, or there was no claim yet. One
    /// call looks at up to ten times as many entries as it may claim.
    pub fn has_seen_all(&self) -> bool {
        self.cursor == EntryId::MIN
    }

    /// True if the last claims left suspects behind, because this worker already held one.
    pub fn has_left_suspects(&self) -> bool {
        self.left_suspects
    }

    /// True if a suspect is held: then the worker should take no other entry.
    pub fn holds_suspect(&self) -> bool {
        self.leases.hold_a_suspect()
    }

    /// True if a suspect that was left behind can be claimed now.
    pub fn can_take_suspect(&self) -> bool {
        self.left_suspects && !self.leases.hold_a_suspect()
    }

    /// Claims up to `most` idle entries. Each call continues where the last one stopped.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If the group is gone, the result is empty; the
    /// consumer then creates the group again.
    pub async fn claim(&mut self, most: usize) -> Result<Vec<LeasedEntry>, Error> {
        let idle = self.group.settings().claim_min_idle.as_millis().to_string();
        let (cursor, count) = (self.cursor.to_string(), most.to_string());
        let suspects_from = SUSPECT_FROM.to_string();
        let held = self.leases.suspect().map(|id| id.to_string()).unwrap_or_default();
        let given_back = CLAIMABLE_AT_ONCE_MS.to_string();
        let args = [
            self.group.name().as_bytes(),
            self.group.consumer().as_bytes(),
            idle.as_bytes(),
            cursor.as_bytes(),
            count.as_bytes(),
            suspects_from.as_bytes(),
            held.as_bytes(),
            given_back.as_bytes(),
        ];
        // Suspects left by earlier calls count until the claims have seen all pending entries once.
        let left_before = std::mem::take(&mut self.left_suspects) && !self.has_seen_all();
        let sent = Instant::now();
        let found = match self.script.run(self.group.redis(), &[self.group.stream()], &args).await {
            Err(error) if error.kind() == ErrorKind::NoGroup => return Ok(Vec::new()),
            result => Found::from_value(result?)?,
        };
        self.left_suspects = left_before || found.left_suspects;
        self.cursor = EntryId::from_value(&found.cursor).unwrap_or_default();
        found.report_deleted(&self.group);
        let deliveries = found.deliver(&self.group, &self.leases, true, sent);
        self.group.metrics().claims.increment(deliveries.len() as u64);
        Ok(deliveries)
    }
}
