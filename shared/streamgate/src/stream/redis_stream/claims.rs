use std::collections::HashSet;
use std::time::Duration;

use redis::Value;

use super::RedisStream;
use crate::connection::{Error, ErrorKind, Script};
use crate::stream::group::ids_from;
use crate::stream::{ConsumerGroup, Entry, EntryId};

/// Pending entries that were claimed for a consumer. Each claim counts as a delivery and makes the entry's idle time
/// zero; [`RedisStream::acknowledge`] settles the entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The entries, which now belong to the consumer.
    pub entries: Vec<Entry>,
    /// Entries that had been deleted from the stream while they were pending: their data is lost. They are pending no
    /// longer.
    pub lost: Vec<EntryId>,
    /// Entries that were named but are not pending in this group, or were not idle for long enough.
    pub skipped: Vec<EntryId>,
}

/// Ids in one call of the script.
const CHUNK: usize = 100;

impl RedisStream {
    /// Claims the entries `ids` for `consumer`, as far as they are pending in `group` and have been idle for at least
    /// `min_idle`. An entry that another consumer still works on is then worked on twice, so `min_idle` should be
    /// longer than its lease.
    ///
    /// # Errors
    /// There is no such group ([`ErrorKind::NoGroup`]), the name of the consumer is not valid, the connection failed,
    /// or the server refused the command. Some entries may have been claimed; they are among the consumer's pending
    /// entries then.
    pub async fn claim(
        &self,
        group: &str,
        consumer: &str,
        ids: &[EntryId],
        min_idle: Duration,
    ) -> Result<Claimed, Error> {
        check_consumer(consumer)?;
        let script = Script::new(include_str!("../scripts/claim.lua"));
        let min_idle = min_idle.as_millis().to_string();
        let mut claimed = Claimed::default();
        for chunk in ids.chunks(CHUNK) {
            let texts: Vec<String> = chunk.iter().map(EntryId::to_string).collect();
            let mut args = vec![group.as_bytes(), consumer.as_bytes(), min_idle.as_bytes()];
            args.extend(texts.iter().map(String::as_bytes));
            let answer = script.run_aside(&self.redis, &[self.key.as_str()], &args).await?;
            let unexpected = || Error::unexpected("the claim script", &Value::Nil);
            let Value::Array(parts) = answer else { return Err(unexpected()) };
            let [entries, lost] = <[Value; 2]>::try_from(parts).map_err(|_| unexpected())?;
            claimed.entries.extend(Entry::list(entries).ok_or_else(unexpected)?);
            claimed.lost.extend(ids_from(lost));
        }
        let entries = claimed.entries.iter().map(|entry| entry.id);
        let found: HashSet<EntryId> = entries.chain(claimed.lost.iter().copied()).collect();
        claimed.skipped = ids.iter().copied().filter(|id| !found.contains(id)).collect();
        Ok(claimed)
    }

    /// Claims for `consumer` the entries of all other consumers that have been idle for at least `min_idle`, some at a
    /// time.
    ///
    /// ```no_run
    /// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::connection::Error> {
    /// use std::time::Duration;
    ///
    /// let mut idle = orders.claim_idle("billing", "billing-2", Duration::from_secs(60));
    /// while let Some(claimed) = idle.next_page(100).await? {
    ///     for entry in &claimed.entries {
    ///         println!("{} is ours now", entry.id);
    ///     }
    /// }
    /// println!("{} entries are lost", idle.lost());
    /// # Ok(())
    /// # }
    /// ```
    pub fn claim_idle(&self, group: &str, consumer: &str, min_idle: Duration) -> IdleClaims {
        IdleClaims {
            stream: self.clone(),
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            min_idle,
            cursor: Some(EntryId::MIN),
            lost: 0,
        }
    }
}

/// Claims idle entries page by page; see [`RedisStream::claim_idle`]. It keeps the place where the next page begins.
pub struct IdleClaims {
    stream: RedisStream,
    group: String,
    consumer: String,
    min_idle: Duration,
    /// Where the next page begins; `None` once all pending entries were seen.
    cursor: Option<EntryId>,
    lost: u64,
}

impl IdleClaims {
    /// Claims up to `most` entries, at least one; `None` once all pending entries were seen. A page may be empty,
    /// because Redis looks at ten times `most` pending entries at a time.
    ///
    /// # Errors
    /// There is no such group ([`ErrorKind::NoGroup`]), the name of the consumer is not valid, the connection failed,
    /// or the server refused the command. The next page then begins at the same place; entries that were claimed
    /// although the answer was lost are among the consumer's pending entries.
    pub async fn next_page(&mut self, most: usize) -> Result<Option<Claimed>, Error> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        check_consumer(&self.consumer)?;
        let mut cmd = redis::cmd("XAUTOCLAIM");
        cmd.arg(self.stream.key.as_str()).arg(&self.group).arg(&self.consumer);
        cmd.arg(self.min_idle.as_millis().to_string()).arg(cursor.to_string());
        cmd.arg("COUNT").arg(most.max(1));
        let unexpected = || Error::unexpected("XAUTOCLAIM", &Value::Nil);
        let answer = self.stream.redis.admin_command(&cmd).await?;
        let Value::Array(parts) = answer else { return Err(unexpected()) };
        let [next, entries, lost] = <[Value; 3]>::try_from(parts).map_err(|_| unexpected())?;
        let next = EntryId::from_value(&next).ok_or_else(unexpected)?;
        let entries = Entry::list(entries).ok_or_else(unexpected)?;
        let claimed = Claimed { entries, lost: ids_from(lost), skipped: Vec::new() };
        self.cursor = Some(next).filter(|next| *next != EntryId::MIN);
        self.lost += claimed.lost.len() as u64;
        Ok(Some(claimed))
    }

    /// How many entries so far had been deleted from the stream while they were pending: their data is lost.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// Redis would create a consumer with any name.
fn check_consumer(name: &str) -> Result<(), Error> {
    ConsumerGroup::check_name(name).map_err(|rule| {
        Error::new(ErrorKind::Refused, format!("`{name}` is no name of a consumer, which {rule}"))
    })
}
