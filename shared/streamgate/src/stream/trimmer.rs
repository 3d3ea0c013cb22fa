use std::time::Duration;

use redis::Value;

use super::entry::field;
use super::health::{bytes_of, info_of};
use super::{EntryId, StreamKey};
use crate::clock::Clock;
use crate::connection::{Error, Redis, Script};

/// How much finished work stays readable on a stream.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// About this many entries.
    pub entries: u64,
    /// No older than this.
    pub age: Duration,
    /// About this many bytes, by `MEMORY USAGE`.
    pub bytes: u64,
}

impl Default for Retention {
    /// As the proxy ships: 100,000 entries, an hour, 256 MB.
    fn default() -> Self {
        Self { entries: 100_000, age: Duration::from_secs(3_600), bytes: 256 << 20 }
    }
}

/// What one [`Trimmer::trim`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Entries removed.
    pub removed: u64,
    /// The oldest entry that some group has not read or not acknowledged (or the last one that
    /// was, if nothing is open); `None` without a group.
    pub frontier: Option<EntryId>,
    /// Entries wanted, at most.
    pub wanted: u64,
    /// Entries that are more than wanted and stayed: in the same node as one that stays, or unfinished.
    pub excess: u64,
    /// Entries in one node of the stream, on average before the trim.
    pub per_node: u64,
}

/// An excess below this is no reason to look at the server's settings: ten nodes of 100 entries.
const NOTABLE_EXCESS: u64 = 1_000;

impl Trimmed {
    /// True if nothing is trimmed because a node of the stream holds more than the whole excess, and the
    /// excess is no smaller than what is wanted.
    pub fn nodes_are_too_large(&self) -> bool {
        let notable = self.wanted.max(NOTABLE_EXCESS);
        self.removed == 0 && self.excess >= notable && self.per_node > self.excess
    }
}

/// Cuts finished entries off the old end of a stream, never one that somebody still needs.
///
/// What is too old goes entry by entry; what is too much, by count or bytes, in whole nodes of the
/// stream (100 entries or 4 KB), so up to one more node stays. Neither goes beyond the frontier.
pub struct Trimmer {
    redis: Redis,
    key: StreamKey,
    retention: Retention,
    script: Script,
}

impl Trimmer {
    /// A trimmer of `key`.
    pub fn new(redis: Redis, key: StreamKey, retention: Retention) -> Self {
        let script = Script::new(include_str!("scripts/trim.lua"));
        Self { redis, key, retention, script }
    }

    /// Trims once. Safe to call from anywhere at any time, by any number of processes.
    ///
    /// # Errors
    /// The connection's or the server's.
    pub async fn trim(&self) -> Result<Trimmed, Error> {
        let Some(shape) = self.shape().await? else { return Ok(Trimmed::default()) };
        let too_old = self.redis.clock().now_ms().saturating_sub(self.retention.age.as_millis() as u64);
        let too_old = EntryId { ms: too_old, seq: 0 }.to_string();
        let wanted = self.wanted(shape);
        let wanted_text = wanted.to_string();
        let args = [too_old.as_bytes(), wanted_text.as_bytes()];
        let value = self.script.run(&self.redis, &[self.key.as_str()], &args).await?;
        match &value {
            Value::Array(parts) if parts.len() == 3 => Ok(Trimmed {
                removed: redis::from_redis_value_ref(&parts[0]).unwrap_or(0),
                frontier: EntryId::from_value(&parts[1]),
                wanted,
                excess: redis::from_redis_value_ref(&parts[2]).unwrap_or(0),
                per_node: shape.length / shape.nodes.max(1),
            }),
            other => Err(Error::unexpected("the trim script", other)),
        }
    }

    /// How many entries of their present size are wanted.
    fn wanted(&self, shape: Shape) -> u64 {
        let bytes_each = (shape.bytes / shape.length.max(1)).max(1);
        self.retention.entries.min(self.retention.bytes / bytes_each)
    }

    async fn shape(&self) -> Result<Option<Shape>, Error> {
        let Some(info) = info_of(&self.redis, &self.key).await? else { return Ok(None) };
        let number = |name| field(&info, name).and_then(|v| redis::from_redis_value_ref::<u64>(v).ok());
        let Some(length) = number("length") else { return Ok(None) };
        let nodes = number("radix-tree-keys").unwrap_or(0);
        Ok(Some(Shape { length, nodes, bytes: bytes_of(&self.redis, &self.key, &info).await? }))
    }
}

#[derive(Clone, Copy)]
struct Shape {
    length: u64,
    nodes: u64,
    bytes: u64,
}
