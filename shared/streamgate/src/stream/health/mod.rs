//! The state of streams and groups. `issues` judges it by thresholds.

mod issues;

use std::time::Duration;

use redis::Value;

use super::entry::{Entry, field};
use super::{EntryId, StreamKey};
use crate::clock::Clock;
use crate::connection::{Error, ErrorKind, Redis};

pub use issues::{Health, Issue, IssueCode, Severity, Thresholds};

/// The state of a stream and its groups at one moment.
#[derive(Debug, Clone)]
pub struct StreamHealth {
    /// The number of entries.
    pub length: u64,
    /// The oldest entry, if any.
    pub first: Option<EntrySummary>,
    /// True if every group has acknowledged the oldest entry: then it stays only until a worker trims it.
    pub first_is_finished: bool,
    /// The newest entry, if any.
    pub last: Option<EntrySummary>,
    /// Its size in bytes, as `MEMORY USAGE` counts it.
    pub bytes: u64,
    /// Its groups.
    pub groups: Vec<GroupHealth>,
}

/// An entry for an overview.
#[derive(Debug, Clone)]
pub struct EntrySummary {
    /// Its id.
    pub id: EntryId,
    /// Its fields.
    pub fields: crate::fields::Fields,
}

/// One consumer group.
#[derive(Debug, Clone)]
pub struct GroupHealth {
    /// Its name as text; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Entries delivered and not acknowledged.
    pub pending: u64,
    /// Entries not delivered yet; `None` if the server does not know.
    pub lag: Option<u64>,
    /// The last entry delivered.
    pub last_delivered: EntryId,
    /// The oldest entry that is not acknowledged, delivered or not.
    pub oldest_open: Option<EntryId>,
    /// Age of the oldest entry that is not acknowledged, delivered or not; zero if all are acknowledged.
    pub oldest_age: Duration,
    /// Age of the oldest entry delivered and not acknowledged; zero without one.
    pub oldest_pending_age: Duration,
    /// Age of the oldest entry not delivered yet; zero without one.
    pub oldest_unread_age: Duration,
    /// Its consumers.
    pub consumers: Vec<ConsumerHealth>,
}

/// One consumer of a group.
#[derive(Debug, Clone)]
pub struct ConsumerHealth {
    /// Its name as text; bytes that are no UTF-8 are replaced.
    pub name: String,
    /// Entries it holds.
    pub pending: u64,
    /// Time since its last sign of life.
    pub idle: Duration,
}

impl ConsumerHealth {
    /// The consumers of a group; none if the stream or the group does not exist.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn of_group(redis: &Redis, key: &StreamKey, group: &str) -> Result<Vec<Self>, Error> {
        let answer = redis.command(redis::cmd("XINFO").arg("CONSUMERS").arg(key.as_str()).arg(group)).await;
        match answer {
            Err(error) if error.kind() == ErrorKind::NoGroup || is_no_such_key(&error) => Ok(Vec::new()),
            answer => Self::list(&answer?),
        }
    }

    /// Reads the answer to XINFO CONSUMERS.
    pub(super) fn list(answer: &Value) -> Result<Vec<Self>, Error> {
        match answer {
            Value::Array(consumers) => Ok(consumers.iter().map(Self::of).collect()),
            other => Err(Error::unexpected("XINFO CONSUMERS", other)),
        }
    }

    fn of(consumer: &Value) -> Self {
        Self {
            name: text(bytes(consumer, "name")),
            pending: number(consumer, "pending"),
            idle: Duration::from_millis(number(consumer, "idle")),
        }
    }
}

impl GroupHealth {
    /// The groups of `key`; none if there is no such stream.
    pub(super) async fn all(redis: &Redis, key: &StreamKey) -> Result<Vec<Self>, Error> {
        let mut connection = redis.admin().get().await?;
        let answer = redis::cmd("XINFO").arg("GROUPS").arg(key.as_str()).query_async(&mut connection).await;
        let groups: Vec<Value> = match answer.map_err(Error::from) {
            Err(error) if is_no_such_key(&error) => return Ok(Vec::new()),
            answer => answer?,
        };
        let now_ms = redis.clock().now_ms();
        let mut read = Vec::with_capacity(groups.len());
        for group in &groups {
            read.push(group_health(&mut connection, key, group, now_ms).await?);
        }
        Ok(read)
    }

    /// The number of consumers that gave a sign of life within `grace`.
    pub fn alive(&self, grace: Duration) -> usize {
        self.consumers.iter().filter(|consumer| consumer.idle < grace).count()
    }

    /// True if, as far as the server knows, no member of this group has read anything yet: the group does not exist,
    /// or it is at the beginning of its stream.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn is_untouched(redis: &Redis, key: &StreamKey, group: &str) -> Result<bool, Error> {
        let groups = groups_of(redis, key).await?;
        Ok(!groups.iter().any(|(name, last)| name == group.as_bytes() && *last != EntryId::MIN))
    }

    /// True if an entry has waited for ten times `grace` and no consumer was alive in that time. Then no later entry
    /// can be trimmed.
    pub fn is_abandoned(&self, grace: Duration) -> bool {
        self.oldest_age > grace * 10 && self.alive(grace * 10) == 0
    }
}

impl StreamHealth {
    /// Reads the state of `key`; `None` if there is no such stream.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn read(redis: &Redis, key: &StreamKey) -> Result<Option<Self>, Error> {
        let Some(info) = info_of(redis, key).await? else { return Ok(None) };
        let bytes = bytes_of(redis, key, &info).await?;
        let groups = GroupHealth::all(redis, key).await?;
        let first = summary(&info, "first-entry");
        let is_finished = |id| {
            !groups.is_empty() && groups.iter().all(|group| group.oldest_open.is_none_or(|open| open > id))
        };
        Ok(Some(Self {
            length: number(&info, "length"),
            first_is_finished: first.as_ref().is_some_and(|first| is_finished(first.id)),
            first,
            last: summary(&info, "last-entry"),
            bytes,
            groups,
        }))
    }
}

/// The answer of XINFO STREAM; `None` if there is no such stream.
pub(super) async fn info_of(redis: &Redis, key: &StreamKey) -> Result<Option<Value>, Error> {
    match redis.admin_command(redis::cmd("XINFO").arg("STREAM").arg(key.as_str())).await {
        Err(error) if is_no_such_key(&error) => Ok(None),
        info => info.map(Some),
    }
}

/// The size of a stream in bytes; `info` is its XINFO. If the user may not run MEMORY USAGE, the size is estimated:
/// the bytes of the last entry times the number of entries.
pub(super) async fn bytes_of(redis: &Redis, key: &StreamKey, info: &Value) -> Result<u64, Error> {
    let mut cmd = redis::cmd("MEMORY");
    cmd.arg("USAGE").arg(key.as_str());
    let instead = "the size of a stream is the size of its last entry times its length";
    match redis.optional(&cmd, "memory|usage", instead).await? {
        Some(bytes) => Ok(redis::from_redis_value::<Option<u64>>(bytes).ok().flatten().unwrap_or(0)),
        None => Ok(number(info, "length") * field(info, "last-entry").map_or(0, bytes_in)),
    }
}

/// Bytes of the strings in a value.
fn bytes_in(value: &Value) -> u64 {
    match value {
        Value::BulkString(bytes) => bytes.len() as u64,
        Value::Array(parts) => parts.iter().map(bytes_in).sum(),
        _ => 0,
    }
}

/// The groups of a stream by name, each with its last delivered entry; none if there is no such stream.
pub(super) async fn groups_of(redis: &Redis, key: &StreamKey) -> Result<Vec<(Vec<u8>, EntryId)>, Error> {
    let last_delivered = |group| field(group, "last-delivered-id").and_then(EntryId::from_value);
    match redis.command(redis::cmd("XINFO").arg("GROUPS").arg(key.as_str())).await {
        Ok(Value::Array(groups)) => Ok(groups
            .iter()
            .map(|group| (bytes(group, "name").to_vec(), last_delivered(group).unwrap_or_default()))
            .collect()),
        Ok(other) => Err(Error::unexpected("XINFO GROUPS", &other)),
        Err(error) if is_no_such_key(&error) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn group_health(
    connection: &mut deadpool_redis::Connection,
    key: &StreamKey,
    group: &Value,
    now_ms: u64,
) -> Result<GroupHealth, Error> {
    // The name of a group may be any bytes. Commands must repeat exactly these bytes.
    let name = bytes(group, "name");
    let last_delivered = field(group, "last-delivered-id").and_then(EntryId::from_value).unwrap_or_default();
    let mut pipeline = redis::pipe();
    pipeline.cmd("XINFO").arg("CONSUMERS").arg(key.as_str()).arg(name);
    pipeline.cmd("XPENDING").arg(key.as_str()).arg(name);
    pipeline.cmd("XRANGE").arg(key.as_str()).arg(format!("({last_delivered}")).arg("+").arg("COUNT").arg(1);
    let (consumers, pending, unread): (Vec<Value>, Value, Value) = pipeline.query_async(connection).await?;
    let oldest_pending = match &pending {
        Value::Array(parts) => parts.get(1).and_then(EntryId::from_value),
        _ => None,
    };
    let oldest_unread = Entry::list(unread).and_then(|entries| entries.first().map(|entry| entry.id));
    let age =
        |oldest: Option<EntryId>| Duration::from_millis(oldest.map_or(0, |id| now_ms.saturating_sub(id.ms)));
    let oldest_open = oldest_pending.into_iter().chain(oldest_unread).min();
    Ok(GroupHealth {
        pending: number(group, "pending"),
        lag: field(group, "lag").and_then(|lag| redis::from_redis_value_ref(lag).ok()),
        last_delivered,
        oldest_age: age(oldest_open),
        oldest_open,
        oldest_pending_age: age(oldest_pending),
        oldest_unread_age: age(oldest_unread),
        consumers: consumers.iter().map(ConsumerHealth::of).collect(),
        name: text(name),
    })
}

/// True if `XINFO` found no such key. The error has no code of its own.
pub(super) fn is_no_such_key(error: &Error) -> bool {
    error.to_string().contains("no such key")
}

pub(super) fn number(info: &Value, name: &str) -> u64 {
    field(info, name).and_then(|value| redis::from_redis_value_ref(value).ok()).unwrap_or(0)
}

fn bytes<'a>(info: &'a Value, name: &str) -> &'a [u8] {
    match field(info, name) {
        Some(Value::BulkString(bytes)) => bytes,
        Some(Value::SimpleString(text)) => text.as_bytes(),
        _ => &[],
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn summary(info: &Value, name: &str) -> Option<EntrySummary> {
    let entry = Entry::from_value(field(info, name)?.clone())?;
    Some(EntrySummary { id: entry.id, fields: entry.fields })
}
