use std::time::Duration;

use redis::Value;

use super::entry::field;
use super::health::{bytes_of, info_of};
use super::{EntryId, StreamKey};
use crate::clock::Clock;
use crate::connection::{Error, Redis, Script};

/// How many finished entries stay readable on a stream.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// About this many entries stay.
    pub entries: u64,
    /// No older entry stays.
    pub age: Duration,
    /// About this many bytes stay, as `MEMORY USAGE` counts them.
    pub bytes: u64,
}

impl Default for Retention {
    /// The defaults that the proxy ships with: 100,000 entries, an hour, 256 MB.
    fn default() -> Self {
        Self { entries: 100_000, age: Duration::from_secs(3_600), bytes: 256 << 20 }
    }
}

/// The result of one [`Trimmer::trim`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Entries removed.
    pub removed: u64,
    /// The oldest entry that some group has not read or not acknowledged. If there is none, the last entry that was
    /// delivered; `None` without a group.
    pub frontier: Option<EntryId>,
    /// The largest number of entries that should stay.
    pub wanted: u64,
    /// How many more entries stayed: they are unfinished, or share a node with an entry that must stay.
    pub excess: u64,
    /// The mean number of entries in one node of the stream before the trim.
    pub per_node: u64,
}

/// A smaller excess does not indicate a wrong setting of the server: it is ten nodes of 100 entries.
const NOTABLE_EXCESS: u64 = 1_000;

impl Trimmed {
    /// True if Redis could trim nothing because one node of the stream holds more entries than the excess. A small
    /// excess, below the wanted number, does not count.
    pub fn nodes_are_too_large(&self) -> bool {
        let notable = self.wanted.max(NOTABLE_EXCESS);
        self.removed == 0 && self.excess >= notable && self.per_node > self.excess
    }
}

/// Removes finished entries from the old end of a stream, and never an unfinished one.
///
/// Entries that are too old are removed one by one. If there are too many entries or bytes, whole nodes of the
/// stream are removed (100 entries or 4 KB), so up to one node more stays. Neither goes beyond the frontier. An entry
/// that waits for a delayed retry is unfinished.
pub struct Trimmer {
    redis: Redis,
    key: StreamKey,
    retention: Retention,
    script: Script,
    /// The start of the names of the keys with delayed entries; empty if there are none.
    delayed: String,
}

impl Trimmer {
    /// A trimmer of `key`.
    pub fn new(redis: Redis, key: StreamKey, retention: Retention) -> Self {
        let script = Script::new(include_str!("scripts/trim.lua"));
        let delayed = key.delayed_ids().as_str().to_owned();
        Self { redis, key, retention, script, delayed }
    }

    /// For a stream whose groups never delay an entry: the user needs no access to the keys of delayed entries.
    #[must_use]
    pub fn without_delays(self) -> Self {
        Self { delayed: String::new(), ..self }
    }

    /// Trims once. Any number of processes may do this at the same time.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn trim(&self) -> Result<Trimmed, Error> {
        let Some(shape) = self.shape().await? else { return Ok(Trimmed::default()) };
        let too_old = self.redis.clock().now_ms().saturating_sub(self.retention.age.as_millis() as u64);
        let too_old = EntryId { ms: too_old, seq: 0 }.to_string();
        let wanted = self.wanted(shape);
        let wanted_text = wanted.to_string();
        let args = [too_old.as_bytes(), wanted_text.as_bytes(), self.delayed.as_bytes()];
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

    /// The largest number of entries that should stay, given their mean size.
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
