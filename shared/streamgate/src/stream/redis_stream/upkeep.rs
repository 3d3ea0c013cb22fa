use std::time::Duration;

use super::RedisStream;
use super::groups::{MOST_IDS, count_in};
use crate::connection::Error;
use crate::stream::dead_letters::DEFAULT_KEPT;
use crate::stream::entry::field;
use crate::stream::health::{info_of, number};
use crate::stream::{DeadLetterQueue, Entry, EntryId, Health, Retention, Thresholds, Trimmer};

/// What to delete from the old end of a stream. Only [`Trim::Safe`] spares entries that a group has not read or not
/// acknowledged yet: every other way deletes them too.
#[derive(Debug, Clone, Copy)]
pub enum Trim {
    /// Finished entries beyond the retention. Without a group nothing is deleted.
    Safe(Retention),
    /// All entries but the newest so many.
    MaxLen(u64),
    /// At least so many stay, and about one node of the stream more, usually 100. This costs the server much less.
    MaxLenApprox(u64),
    /// Entries with ids below this one.
    MinId(EntryId),
    /// Entries older than this, by the server's clock.
    OlderThan(Duration),
}

/// A stream, as XINFO STREAM describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// The number of entries.
    pub length: u64,
    /// The oldest entry.
    pub first: Option<Entry>,
    /// The newest entry.
    pub last: Option<Entry>,
    /// The greatest id so far, also if its entry was deleted: the next one is greater.
    pub last_generated_id: EntryId,
    /// The greatest id of a deleted entry; [`EntryId::MIN`] without one.
    pub max_deleted_id: EntryId,
    /// How many entries were ever appended.
    pub entries_added: u64,
    /// The number of groups.
    pub groups: u64,
}

impl RedisStream {
    /// The number of entries; 0 if the stream does not exist.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn len(&self) -> Result<u64, Error> {
        count_in("XLEN", self.redis.admin_command(redis::cmd("XLEN").arg(self.key.as_str())).await?)
    }

    /// True if there is no entry.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len().await? == 0)
    }

    /// The state of the stream; `None` if it does not exist.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn info(&self) -> Result<Option<StreamInfo>, Error> {
        let Some(info) = info_of(&self.redis, &self.key).await? else { return Ok(None) };
        let entry = |name| field(&info, name).cloned().and_then(Entry::from_value);
        let id = |name| field(&info, name).and_then(EntryId::from_value).unwrap_or_default();
        Ok(Some(StreamInfo {
            length: number(&info, "length"),
            first: entry("first-entry"),
            last: entry("last-entry"),
            last_generated_id: id("last-generated-id"),
            max_deleted_id: id("max-deleted-entry-id"),
            entries_added: number(&info, "entries-added"),
            groups: number(&info, "groups"),
        }))
    }

    /// The greatest id so far; [`EntryId::MIN`] if the stream does not exist.
    pub(super) async fn last_id(&self) -> Result<EntryId, Error> {
        Ok(self.info().await?.map_or(EntryId::MIN, |info| info.last_generated_id))
    }

    /// Deletes entries, read or not; returns how many there were. A group that has one of them pending reports it as
    /// lost later.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. Some entries may be deleted; to delete them again is
    /// safe.
    pub async fn delete(&self, ids: &[EntryId]) -> Result<u64, Error> {
        let mut deleted = 0;
        for ids in ids.chunks(MOST_IDS) {
            let mut cmd = redis::cmd("XDEL");
            cmd.arg(self.key.as_str());
            ids.iter().for_each(|id| {
                cmd.arg(id.to_string());
            });
            deleted += count_in("XDEL", self.redis.admin_command(&cmd).await?)?;
        }
        Ok(deleted)
    }

    /// Deletes entries from the old end; returns how many.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::connection::Error> {
    /// use std::time::Duration;
    ///
    /// use streamgate::stream::{Retention, Trim};
    ///
    /// let finished = orders.trim(Trim::Safe(Retention::default())).await?;
    /// let old = orders.trim(Trim::OlderThan(Duration::from_secs(86_400))).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn trim(&self, trim: Trim) -> Result<u64, Error> {
        let mut cmd = redis::cmd("XTRIM");
        cmd.arg(self.key.as_str());
        match trim {
            Trim::Safe(retention) => {
                let trimmer = Trimmer::new(self.redis.clone(), self.key.clone(), retention);
                return Ok(trimmer.trim().await?.removed);
            }
            Trim::MaxLen(most) => cmd.arg("MAXLEN").arg("=").arg(most),
            Trim::MaxLenApprox(most) => cmd.arg("MAXLEN").arg("~").arg(most),
            Trim::MinId(id) => cmd.arg("MINID").arg("=").arg(id.to_string()),
            Trim::OlderThan(age) => {
                let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                let oldest = self.redis.server_time_ms().await?.saturating_sub(age);
                cmd.arg("MINID").arg("=").arg(EntryId { ms: oldest, seq: 0 }.to_string())
            }
        };
        count_in("XTRIM", self.redis.admin_command(&cmd).await?)
    }

    /// What is wrong with the stream and its groups, by these thresholds.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::connection::Error> {
    /// use streamgate::stream::Thresholds;
    ///
    /// for issue in orders.health(&Thresholds::default()).await?.issues {
    ///     println!("{}: {issue}", issue.code);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn health(&self, thresholds: &Thresholds) -> Result<Health, Error> {
        Health::read(&self.redis, &self.key, thresholds).await
    }

    /// The entries that no worker could process: to browse, replay or discard them.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::connection::Error> {
    /// use streamgate::stream::DeadLetterFilter;
    ///
    /// let letters = orders.dead_letters();
    /// for letter in letters.search(&DeadLetterFilter::default(), None, 100).await?.letters {
    ///     println!("{} was given up: {}", letter.id, letter.reason);
    ///     letters.replay(letter.id, &[]).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn dead_letters(&self) -> DeadLetterQueue {
        DeadLetterQueue::new(self.redis.clone(), self.key.clone(), DEFAULT_KEPT)
    }
}
