use redis::Value;

use super::{Entry, EntryId, StreamKey};
use crate::connection::{Error, Redis, Script};

/// Reads the entries at the end of a stream that no group has delivered yet, page by page, each entry once.
pub struct Undelivered {
    redis: Redis,
    key: StreamKey,
    take_back: Script,
    read_to: EntryId,
}

/// Entries in one page. If the bodies have 64 KB, Redis copies 6 MB for one page.
const PAGE: usize = 100;

impl Undelivered {
    /// A reader of `key`.
    pub fn new(redis: Redis, key: StreamKey) -> Self {
        let take_back = Script::new(include_str!("scripts/take_back.lua"));
        Self { redis, key, take_back, read_to: EntryId::MIN }
    }

    /// The next entries; empty at the end of the stream. Some of them may have been delivered meanwhile.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn next_page(&mut self) -> Result<Vec<Entry>, Error> {
        if self.read_to == EntryId::MIN {
            self.read_to = self.last_delivered().await?;
        }
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(self.key.as_str()).arg(format!("({}", self.read_to)).arg("+").arg("COUNT").arg(PAGE);
        let entries = Entry::list(self.redis.admin_command(&cmd).await?).unwrap_or_default();
        if let Some(last) = entries.last() {
            self.read_to = last.id;
        }
        Ok(entries)
    }

    /// Removes those of `ids` that no group has delivered, and returns them: no worker has begun their
    /// work, and none will.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command; it is then unknown which entries were removed.
    pub async fn take_back(&self, ids: &[EntryId]) -> Result<Vec<EntryId>, Error> {
        let texts: Vec<String> = ids.iter().map(EntryId::to_string).collect();
        let args: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
        let value = self.take_back.run_aside(&self.redis, &[self.key.as_str()], &args).await?;
        let Value::Array(taken) = value else {
            return Err(Error::unexpected("the take_back script", &value));
        };
        let taken = ids.iter().zip(taken).filter(|(_, taken)| *taken == Value::Int(1));
        Ok(taken.map(|(id, _)| *id).collect())
    }

    /// The last entry that any group has delivered.
    async fn last_delivered(&self) -> Result<EntryId, Error> {
        let groups = super::health::groups_of(&self.redis, &self.key).await?;
        Ok(groups.iter().map(|(_, last)| *last).max().unwrap_or_default())
    }
}
