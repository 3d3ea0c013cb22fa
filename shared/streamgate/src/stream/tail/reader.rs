use std::time::Duration;

use redis::Cmd;
use tokio_util::sync::CancellationToken;

use super::{PAST_THE_END, check_role, if_exists, info};
use crate::connection::{BlockingConnection, Error, Redis, Waker};
use crate::stream::entry::field;
use crate::stream::{Entry, EntryId, ReadAnswer, Start, StreamKey};

/// Reads every new entry of a stream, for one reader, without a group.
///
/// It reads at most 128 entries at once and gives them in the order of the stream. An entry that is trimmed before it is
/// read is not read.
///
/// At its start the reader asks for the id of the last entry once, unless [`TailReader::starting_at`] says where to
/// begin. With `$` in each read it would miss entries
/// that are written between two reads. XREAD returns no error if the stream is deleted or the node is demoted,
/// so the reader checks both after an empty read. If the stream has started over, it is read from its beginning.
/// (If the stream is deleted and written again within the millisecond of the last entry read, the new entry may get
/// the same id; the reader then skips that entry.)
pub struct TailReader {
    key: StreamKey,
    connection: BlockingConnection,
    cursor: Option<EntryId>,
    /// True after a failed or empty read: the next read checks the stream first.
    unchecked: bool,
    /// True if the last read found more than one entry and its first entry was small.
    busy: bool,
    /// True if it has gone back to the beginning, and [`TailReader::has_started_over`] was not called since.
    started_over: bool,
    /// The server that the cursor belongs to.
    server: Option<String>,
}

/// The largest first entry, in bytes, for which a second read is sent along: Redis then sends that entry twice.
const LARGEST_TWICE: usize = 8 << 10;

/// The most entries in one read. One entry may hold many replies, and all must arrive within the response timeout.
const LARGEST_READ: usize = 128;

impl TailReader {
    /// A reader of `key` that blocks up to `block` per read; `part` names it in logs.
    pub fn new(redis: Redis, key: StreamKey, block: Duration, part: &'static str) -> Self {
        let connection = BlockingConnection::new(redis, block, part);
        Self {
            key,
            connection,
            cursor: None,
            unchecked: true,
            busy: false,
            started_over: false,
            server: None,
        }
    }

    /// Begins at `start` instead of the end of the stream.
    #[must_use]
    pub fn starting_at(mut self, start: Start) -> Self {
        self.cursor = match start {
            Start::Beginning => Some(EntryId::MIN),
            Start::End => None,
            Start::After(id) => Some(id),
        };
        self
    }

    /// A handle for another task to end a blocked [`TailReader::read`].
    pub fn waker(&self) -> Waker {
        self.connection.waker()
    }

    /// Finds the place to begin; tries until it succeeds or `stop` is cancelled. Entries written after
    /// this returns will be read.
    pub async fn start(&mut self, stop: &CancellationToken) {
        while let Err(error) = self.check().await {
            let pause = self.connection.failed(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The last entry read, or the entry after which it began.
    pub fn position(&self) -> EntryId {
        self.cursor.unwrap_or_default()
    }

    /// Reads the next entries and waits for them up to the blocking time; empty if there were none.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. No entry is skipped: the next read continues where
    /// the last successful one ended. Before it, pause as long as [`TailReader::failed`] returns.
    pub async fn read(&mut self) -> Result<Vec<Entry>, Error> {
        if self.unchecked {
            self.check().await?;
        }
        let cursor = self.position();
        let block = Some(self.connection.block_ms());
        self.unchecked = true;
        // If a worker writes several entries in one pipeline, Redis ends a blocked read after the first of them.
        // While reads find several entries, a second read from the same id is sent along and returns all of them.
        let mut decoder = ReadAnswer::to("XREAD");
        let answers = match self.busy {
            true => {
                let (first, all) = (self.xread(cursor, 1, block), self.xread(cursor, LARGEST_READ, None));
                self.connection.read(&[first, all], &mut decoder).await?
            }
            false => {
                let all = self.xread(cursor, LARGEST_READ, block);
                self.connection.read(&[all], &mut decoder).await?
            }
        };
        if matches!((&self.server, self.connection.server()), (Some(before), Some(now)) if before != now) {
            // The connection is new and leads to another server, to which the cursor does not belong: check first.
            return Ok(Vec::new());
        }
        // The second answer contains the first, unless the entry was removed in between.
        let entries = answers.into_iter().max_by_key(Vec::len).unwrap_or_default();
        let small = entries.first().is_some_and(|entry| entry.fields.size() <= LARGEST_TWICE);
        self.busy = entries.len() > 1 && small;
        if let Some(last) = entries.last() {
            self.cursor = Some(last.id);
            self.unchecked = false;
        }
        self.connection.healed();
        Ok(entries)
    }

    fn xread(&self, after: EntryId, most: usize, block_ms: Option<u64>) -> Cmd {
        let mut cmd = redis::cmd("XREAD");
        cmd.arg("COUNT").arg(most);
        if let Some(block_ms) = block_ms {
            cmd.arg("BLOCK").arg(block_ms);
        }
        cmd.arg("STREAMS").arg(self.key.as_str()).arg(after.to_string());
        cmd
    }

    /// How long to pause after `error`; logged once per outage.
    pub fn failed(&mut self, error: &Error) -> Duration {
        self.connection.failed(error)
    }

    /// True once after the reader has gone back to the beginning of the stream: the next entries may have been read
    /// before.
    pub fn has_started_over(&mut self) -> bool {
        std::mem::take(&mut self.started_over)
    }

    /// How many reads have failed since the last success.
    pub fn failures(&self) -> u32 {
        self.connection.failures()
    }

    /// Checks that this node is the primary, that the stream can be read and that it has not started over.
    async fn check(&mut self) -> Result<(), Error> {
        check_role(&mut self.connection).await?;
        let end = self.last_id().await?;
        self.connection.run(&self.xread(PAST_THE_END, 1, None)).await?;
        let server = self.connection.server().map(str::to_owned);
        let moved = matches!((&self.server, &server), (Some(before), Some(now)) if before != now);
        match self.cursor {
            None => self.cursor = Some(end),
            // The clock of the new server may be behind, and it may lack the last entries read from the old one. So
            // its new entries may have ids before the cursor.
            Some(cursor) if end < cursor || moved => {
                tracing::warn!(stream = %self.key, %cursor, %end, moved, "the stream started over; reading it from its beginning");
                self.cursor = Some(EntryId::MIN);
                self.started_over = true;
            }
            Some(_) => {}
        }
        self.server = server.or(self.server.take());
        self.unchecked = false;
        Ok(())
    }

    /// The id of the last entry ever added; [`EntryId::MIN`] if the stream does not exist.
    async fn last_id(&mut self) -> Result<EntryId, Error> {
        let info = if_exists(self.connection.run(&info(self.key.as_str())).await)?;
        let last = info.as_ref().and_then(|info| field(info, "last-generated-id"));
        Ok(last.and_then(EntryId::from_value).unwrap_or_default())
    }
}
