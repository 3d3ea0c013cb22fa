use std::time::Duration;

use redis::Cmd;
use tokio_util::sync::CancellationToken;

use super::entry::field;
use super::{Entry, EntryId, ReadAnswer, StreamKey};
use crate::connection::{BlockingConnection, Error, ErrorKind, Redis, Waker, is_primary};

/// Reads every entry of a stream from now on, for one reader, without a group.
///
/// The end of the stream is resolved to a concrete id once: `$` on each read would lose what is
/// written between two reads. XREAD says nothing when the stream is deleted or the node is demoted,
/// so a read that stayed empty checks both; a stream that starts over is read from its beginning.
/// (One that is deleted and written again within the millisecond of the last entry read gets the
/// same id again; that entry is taken for read.)
pub struct TailReader {
    key: StreamKey,
    connection: BlockingConnection,
    cursor: Option<EntryId>,
    /// True after a failed or empty read: look before the next one.
    unsure: bool,
    /// The last read found more than one entry, and small ones.
    busy: bool,
    /// It has been set back to the beginning, and nobody has been told yet.
    started_over: bool,
    /// The server that the cursor belongs to.
    server: Option<String>,
}

/// Behind the last possible entry: reading there shows that reading works.
const PAST_THE_END: EntryId = EntryId { ms: u64::MAX, seq: u64::MAX };

/// The largest entry, in bytes, that is worth being sent twice: reading a whole pipeline at once costs its
/// first entry once more.
const LARGEST_TWICE: usize = 8 << 10;

/// Entries in one read. One may hold many replies: all of them together come within the response timeout.
const LARGEST_READ: usize = 128;

impl TailReader {
    /// A reader of `key` that blocks up to `block` per read; `part` names it in logs.
    pub fn new(redis: Redis, key: StreamKey, block: Duration, part: &'static str) -> Self {
        let connection = BlockingConnection::new(redis, block, part);
        Self { key, connection, cursor: None, unsure: true, busy: false, started_over: false, server: None }
    }

    /// Ends a blocked [`TailReader::read`] from elsewhere.
    pub fn waker(&self) -> Waker {
        self.connection.waker()
    }

    /// Resolves the end of the stream, trying until it succeeds or `stop`: what is written after
    /// this returns will be read.
    pub async fn start(&mut self, stop: &CancellationToken) {
        while let Err(error) = self.look().await {
            let pause = self.connection.failed(&error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The last entry read, or what was the end of the stream at the start.
    pub fn position(&self) -> EntryId {
        self.cursor.unwrap_or_default()
    }

    /// The next entries, waiting up to the blocking time; empty when there were none.
    ///
    /// # Errors
    /// The connection's or the server's. No entry is skipped: the next read goes on where the last
    /// successful one ended. Pause as [`TailReader::failed`] says first.
    pub async fn read(&mut self) -> Result<Vec<Entry>, Error> {
        if self.unsure {
            self.look().await?;
        }
        let cursor = self.position();
        let block = Some(self.connection.block_ms());
        self.unsure = true;
        // Redis ends a blocked read with the first entry of a pipeline that others write. While entries
        // come in numbers, a second read from the same place brings the whole pipeline in the same answer.
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
            // The connection was made anew meanwhile, to a server that the cursor says nothing of: look first.
            return Ok(Vec::new());
        }
        // The second has what the first has, unless somebody removed it in between.
        let entries = answers.into_iter().max_by_key(Vec::len).unwrap_or_default();
        let small = entries.first().is_some_and(|entry| entry.fields.size() <= LARGEST_TWICE);
        self.busy = entries.len() > 1 && small;
        if let Some(last) = entries.last() {
            self.cursor = Some(last.id);
            self.unsure = false;
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

    /// True once after it has begun to read the stream from its beginning again: what comes may have been read
    /// before.
    pub fn has_started_over(&mut self) -> bool {
        std::mem::take(&mut self.started_over)
    }

    /// How many reads have failed since one worked.
    pub fn failures(&self) -> u32 {
        self.connection.failures()
    }

    /// Checks that this node is the primary, that the stream can be read and that it has not started over.
    async fn look(&mut self) -> Result<(), Error> {
        match self.connection.run(&redis::cmd("HELLO")).await {
            Ok(hello) if is_primary(&hello) == Some(false) => {
                self.connection.disconnect();
                return Err(Error::new(ErrorKind::NotPrimary, "HELLO says that it is a replica"));
            }
            Err(error) if error.kind() == ErrorKind::NotPermitted => {
                let instead = "a primary that was demoted is noticed by the next write";
                self.connection.does_without("hello", instead);
            }
            answer => drop(answer?),
        }
        let end = self.last_id().await?;
        self.connection.run(&self.xread(PAST_THE_END, 1, None)).await?;
        let server = self.connection.server().map(str::to_owned);
        let moved = matches!((&self.server, &server), (Some(before), Some(now)) if before != now);
        match self.cursor {
            None => self.cursor = Some(end),
            // Its clock may be behind, and it may have lost the last entries that were read on the other: what
            // it has written since may lie before the cursor.
            Some(cursor) if end < cursor || moved => {
                tracing::warn!(stream = %self.key, %cursor, %end, moved, "the stream started over; reading it from its beginning");
                self.cursor = Some(EntryId::MIN);
                self.started_over = true;
            }
            Some(_) => {}
        }
        self.server = server.or(self.server.take());
        self.unsure = false;
        Ok(())
    }

    /// The id of the last entry ever added; [`EntryId::MIN`] for a stream that is not there.
    async fn last_id(&mut self) -> Result<EntryId, Error> {
        let mut cmd = redis::cmd("XINFO");
        cmd.arg("STREAM").arg(self.key.as_str());
        match self.connection.run(&cmd).await {
            Ok(info) => {
                Ok(field(&info, "last-generated-id").and_then(EntryId::from_value).unwrap_or_default())
            }
            Err(error) if error.to_string().contains("no such key") => Ok(EntryId::MIN),
            Err(error) => Err(error),
        }
    }
}
