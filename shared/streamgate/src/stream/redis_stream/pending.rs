use std::ops::Bound;
use std::time::Duration;

use redis::Value;

use super::RedisStream;
use super::entries::text;
use crate::connection::Error;
use crate::stream::EntryId;

/// The pending entries of a group: those delivered and not acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PendingSummary {
    /// How many there are.
    pub count: u64,
    /// The oldest.
    pub first: Option<EntryId>,
    /// The newest.
    pub last: Option<EntryId>,
    /// How many each consumer has; consumers without one are left out. Bytes of a name that are no UTF-8 are replaced.
    pub by_consumer: Vec<(String, u64)>,
}

/// One pending entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingEntry {
    /// Its id.
    pub id: EntryId,
    /// The consumer that has it. Bytes of its name that are no UTF-8 are replaced.
    pub consumer: String,
    /// Time since it was last delivered.
    pub idle: Duration,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// Selects pending entries. The default is the oldest 100 of all consumers.
///
/// ```no_run
/// # async fn example(orders: streamgate::stream::RedisStream) -> Result<(), streamgate::connection::Error> {
/// use std::time::Duration;
///
/// use streamgate::stream::PendingQuery;
///
/// let stuck = PendingQuery {
///     consumer: Some("billing-1".to_owned()),
///     min_idle: Duration::from_secs(60),
///     ..PendingQuery::default()
/// };
/// for entry in orders.pending_entries("billing", &stuck).await? {
///     println!("{} was delivered {} times", entry.id, entry.deliveries);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingQuery {
    /// Those of this consumer only.
    pub consumer: Option<String>,
    /// Those that have been idle for at least this time.
    pub min_idle: Duration,
    /// Where to begin; for the next page, `Excluded` of the last id.
    pub start: Bound<EntryId>,
    /// Where to end.
    pub end: Bound<EntryId>,
    /// The most entries returned.
    pub most: usize,
}

impl Default for PendingQuery {
    fn default() -> Self {
        Self {
            consumer: None,
            min_idle: Duration::ZERO,
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            most: 100,
        }
    }
}

impl RedisStream {
    /// How many entries of a group are pending, and whose.
    ///
    /// # Errors
    /// There is no such group ([`ErrorKind::NoGroup`](crate::connection::ErrorKind::NoGroup)), the connection failed,
    /// or the server refused the command.
    pub async fn pending(&self, group: &str) -> Result<PendingSummary, Error> {
        let mut cmd = redis::cmd("XPENDING");
        let answer = self.redis.admin_command(cmd.arg(self.key.as_str()).arg(group)).await?;
        type Consumers = Option<Vec<(Vec<u8>, u64)>>;
        let unexpected = Error::unexpected("XPENDING", &answer);
        let (count, first, last, consumers): (u64, Value, Value, Consumers) =
            redis::from_redis_value(answer).map_err(|_| unexpected)?;
        let consumers = consumers.unwrap_or_default().into_iter();
        Ok(PendingSummary {
            count,
            first: EntryId::from_value(&first),
            last: EntryId::from_value(&last),
            by_consumer: consumers.map(|(name, count)| (name_of(&name), count)).collect(),
        })
    }

    /// The pending entries of a group that `query` selects, from the oldest to the newest.
    ///
    /// # Errors
    /// There is no such group ([`ErrorKind::NoGroup`](crate::connection::ErrorKind::NoGroup)), the connection failed,
    /// or the server refused the command.
    pub async fn pending_entries(
        &self,
        group: &str,
        query: &PendingQuery,
    ) -> Result<Vec<PendingEntry>, Error> {
        let mut cmd = redis::cmd("XPENDING");
        cmd.arg(self.key.as_str()).arg(group);
        cmd.arg("IDLE").arg(query.min_idle.as_millis().to_string());
        cmd.arg(text(query.start, "-")).arg(text(query.end, "+")).arg(query.most);
        if let Some(consumer) = &query.consumer {
            cmd.arg(consumer);
        }
        let answer = self.redis.admin_command(&cmd).await?;
        let unexpected = Error::unexpected("XPENDING", &answer);
        let entries: Vec<(Value, Vec<u8>, u64, u64)> =
            redis::from_redis_value(answer).map_err(|_| unexpected)?;
        let entries = entries.into_iter().filter_map(|(id, consumer, idle_ms, deliveries)| {
            Some(PendingEntry {
                id: EntryId::from_value(&id)?,
                consumer: name_of(&consumer),
                idle: Duration::from_millis(idle_ms),
                deliveries,
            })
        });
        Ok(entries.collect())
    }
}

fn name_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
