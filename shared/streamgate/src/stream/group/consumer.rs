use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consumer_group::{CLAIMABLE_AT_ONCE_MS, ids_from};
use super::leased_entry::SUSPECT_FROM;
use super::{ConsumerGroup, LeasedEntry, Leases};
use crate::connection::{BlockingConnection, Error, ErrorKind, Script, Waker};
use crate::stream::entry::fields_from;
use crate::stream::{Entry, EntryId, ReadAnswer};

/// Reads entries of a stream as a member of a group, over a connection of its own.
///
/// At its start, and after every read that failed or was abandoned, it reads its own pending
/// entries first: the server may have delivered entries to a socket that was already closed.
pub struct Consumer {
    group: ConsumerGroup,
    leases: Leases,
    connection: BlockingConnection,
    read_own: Script,
    recovery: Option<Recovery>,
    /// True if the last read found more than one entry.
    busy: bool,
}

/// The mode at the start of a process: its pending entries count as delivered again, because the process before it
/// may have died of one. Entries delivered within the last lease are left out: another process may be working on them.
const REDELIVER: &str = "redeliver";

/// Progress of the read of the consumer's own pending entries.
struct Recovery {
    from: EntryId,
    /// `REDELIVER`, or `recover`, which counts no delivery.
    mode: &'static str,
}

impl Consumer {
    /// A consumer of `group` whose entries are held in `leases`.
    pub fn new(group: ConsumerGroup, leases: Leases) -> Self {
        let connection = BlockingConnection::new(group.redis().clone(), group.settings().block, "consumer");
        Self {
            group,
            leases,
            connection,
            read_own: Script::new(include_str!("../scripts/read_own.lua")),
            recovery: Some(Recovery { from: EntryId::MIN, mode: REDELIVER }),
            busy: false,
        }
    }

    /// Leaves out the entries pending from before the start of the process. If no consumer works on them, they are claimed
    /// after their lease.
    #[must_use]
    pub fn without_own_pending(self) -> Self {
        Self { recovery: None, ..self }
    }

    /// A handle for another task to end a blocked [`Consumer::read`] without losing entries.
    pub fn waker(&self) -> Waker {
        self.connection.waker()
    }

    /// Reads up to `most` entries. If a recovery is due, it reads this consumer's own pending entries. Otherwise it
    /// reads new ones and waits for them up to `patience` or the group's blocking time, whichever is shorter. Empty
    /// if there were none.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. If the group was gone, it has been created again.
    /// Before the next read, pause as long as [`Consumer::failed`] returns.
    pub async fn read(&mut self, most: usize, patience: Duration) -> Result<Vec<LeasedEntry>, Error> {
        let result = match &self.recovery {
            Some(_) => self.read_own(most).await,
            None => self.read_new(most, patience).await,
        };
        if let Err(error) = &result {
            self.recover();
            if error.kind() == ErrorKind::NoGroup {
                self.group.heal().await?;
            }
        }
        result
    }

    /// True until the entries pending from before the start of the process have been read. They count as delivered
    /// again. An entry claimed meanwhile would be counted twice.
    pub fn is_starting(&self) -> bool {
        self.recovery.as_ref().is_some_and(|recovery| recovery.mode == REDELIVER)
    }

    /// True if the next read starts with this consumer's own pending entries.
    pub fn is_recovering(&self) -> bool {
        self.recovery.is_some()
    }

    /// Makes the next read start with this consumer's own pending entries: an answer with entries may have been lost.
    pub fn recover(&mut self) {
        if self.recovery.is_none() {
            self.recovery = Some(Recovery { from: EntryId::MIN, mode: "recover" });
        }
    }

    /// How long to pause after `error`; logged once per outage.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.connection.failed(error)
    }

    /// Joins the group before the first read; tries until it succeeds or `stop` is cancelled.
    pub async fn join(&mut self, stop: &CancellationToken) {
        let joining = async {
            while let Err(error) = self.group.join().await {
                tokio::time::sleep(self.failed(&error)).await;
            }
        };
        tokio::select! {
            () = joining => {}
            () = stop.cancelled() => {}
        }
    }

    async fn read_new(&mut self, most: usize, patience: Duration) -> Result<Vec<LeasedEntry>, Error> {
        // BLOCK 0 would block for ever.
        let block_ms = (patience.as_millis() as u64).clamp(1, self.connection.block_ms());
        let sent = Instant::now();
        // If a gateway writes several entries in one pipeline, Redis ends a blocked read after the first of them.
        // While reads find several entries, a second read in the same pipeline takes the others as well.
        let mut decoder = ReadAnswer::to("XREADGROUP");
        let answers = match self.busy && most > 1 {
            true => {
                let (first, rest) = (self.xreadgroup(1, Some(block_ms)), self.xreadgroup(most - 1, None));
                self.connection.read(&[first, rest], &mut decoder).await?
            }
            false => self.connection.read(&[self.xreadgroup(most, Some(block_ms))], &mut decoder).await?,
        };
        self.connection.healed();
        let entries: Vec<Entry> = answers.into_iter().flatten().collect();
        self.busy = entries.len() > 1;
        let mut deliveries = Vec::with_capacity(entries.len());
        let proven = self.leases.delivered_after(sent);
        for entry in entries {
            if let Some(lease) = self.leases.take(entry.id, false, proven(entry.id)) {
                deliveries.push(LeasedEntry { entry, attempt: 1, lease });
            }
        }
        Ok(deliveries)
    }

    /// The command that reads new entries.
    fn xreadgroup(&self, most: usize, block_ms: Option<u64>) -> Cmd {
        let mut cmd = redis::cmd("XREADGROUP");
        cmd.arg("GROUP").arg(self.group.name()).arg(self.group.consumer());
        cmd.arg("COUNT").arg(most);
        if let Some(block_ms) = block_ms {
            cmd.arg("BLOCK").arg(block_ms);
        }
        cmd.arg("STREAMS").arg(self.group.stream()).arg(">");
        cmd
    }

    async fn read_own(&mut self, most: usize) -> Result<Vec<LeasedEntry>, Error> {
        let Some(Recovery { from, mode }) = &self.recovery else { return Ok(Vec::new()) };
        let (from, count) = (from.to_string(), most.to_string());
        let (suspects_from, given_back) = (SUSPECT_FROM.to_string(), CLAIMABLE_AT_ONCE_MS.to_string());
        let lease = self.group.settings().claim_min_idle.as_millis().to_string();
        let args = [
            self.group.name().as_bytes(),
            self.group.consumer().as_bytes(),
            from.as_bytes(),
            count.as_bytes(),
            mode.as_bytes(),
            suspects_from.as_bytes(),
            given_back.as_bytes(),
            lease.as_bytes(),
        ];
        let sent = Instant::now();
        let value = self.read_own.run(self.group.redis(), &[self.group.stream()], &args).await?;
        let found = Found::from_value(value)?;
        found.report_deleted(&self.group);
        match EntryId::from_value(&found.cursor) {
            Some(last) => self.recovery = Some(Recovery { from: last.next(), mode }),
            None => self.recovery = None,
        }
        Ok(found.deliver(&self.group, &self.leases, true, sent))
    }
}

/// The answer of the scripts that look for pending entries: a cursor, entries with their number of
/// deliveries, ids of entries that had been deleted from the stream, and the number of suspects left behind.
pub(super) struct Found {
    pub(super) cursor: Value,
    entries: Vec<(u32, Entry)>,
    deleted: Vec<EntryId>,
    /// True if further suspects were given back, because a worker holds one at a time.
    pub(super) left_suspects: bool,
}

impl Found {
    pub(super) fn from_value(value: Value) -> Result<Self, Error> {
        let unexpected = || Error::unexpected("a claim", &Value::Nil);
        let Value::Array(parts) = value else { return Err(unexpected()) };
        let [cursor, entries, deleted, left] = <[Value; 4]>::try_from(parts).map_err(|_| unexpected())?;
        let Value::Array(entries) = entries else { return Err(unexpected()) };
        let entries = entries.into_iter().map(counted_entry).collect::<Option<_>>().ok_or_else(unexpected)?;
        let left_suspects = left != Value::Int(0);
        Ok(Self { cursor, entries, deleted: ids_from(deleted), left_suspects })
    }

    /// Counts and logs the entries that had been deleted: each is a loss.
    pub(super) fn report_deleted(&self, group: &ConsumerGroup) {
        if let Some(first) = self.deleted.first() {
            group.metrics().deleted.increment(self.deleted.len() as u64);
            tracing::error!(
                stream = group.stream(),
                group = group.name(),
                entries = self.deleted.len(),
                %first,
                "pending entries had been deleted from the stream: their requests are lost"
            );
        }
    }

    /// Takes a lease for each entry that this process does not hold yet. With `suspects`, entries that were delivered
    /// often are suspects.
    pub(super) fn deliver(
        self,
        group: &ConsumerGroup,
        leases: &Leases,
        suspects: bool,
        proven: Instant,
    ) -> Vec<LeasedEntry> {
        let mut deliveries = Vec::with_capacity(self.entries.len());
        for (attempt, entry) in self.entries {
            if let Some(lease) = leases.take(entry.id, suspects && attempt >= SUSPECT_FROM, proven) {
                if attempt > 1 {
                    group.metrics().redeliveries.increment(1);
                }
                deliveries.push(LeasedEntry { entry, attempt, lease });
            }
        }
        deliveries
    }
}

/// Reads `[id, deliveries, fields]`.
fn counted_entry(value: Value) -> Option<(u32, Entry)> {
    let Value::Array(parts) = value else { return None };
    let [id, deliveries, fields] = <[Value; 3]>::try_from(parts).ok()?;
    let Value::Int(deliveries) = deliveries else { return None };
    let entry = Entry { id: EntryId::from_value(&id)?, fields: fields_from(fields)? };
    Some((u32::try_from(deliveries.max(1)).unwrap_or(u32::MAX), entry))
}
