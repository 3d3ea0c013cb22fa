use std::time::Duration;

use redis::Value;

use super::entry::field;
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

/// What one [`Trimmer::trim`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trimmed {
    /// Entries removed.
    pub removed: u64,
    /// The oldest entry that some group has not read or not acknowledged (or the last one that
    /// was, if nothing is open); `None` without a group.
    pub frontier: Option<EntryId>,
}

/// Cuts finished entries off the old end of a stream, never one that somebody still needs.
///
/// What is wanted (count, age, bytes) is turned into one id; the script cuts there or at the
/// frontier, whichever is older. For count and bytes the id is found by interpolation over the
/// stream's time span, which costs nothing and converges over a few ticks; an error there keeps
/// too much or too little history, never touches open work.
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
        let cut = self.cut(&shape, self.redis.clock().now_ms());
        let cut = EntryId { ms: cut, seq: 0 }.to_string();
        let value = self.script.run(&self.redis, &[self.key.as_str()], &[cut.as_bytes()]).await?;
        match &value {
            Value::Array(parts) if parts.len() == 2 => Ok(Trimmed {
                removed: redis::from_redis_value_ref(&parts[0]).unwrap_or(0),
                frontier: EntryId::from_value(&parts[1]),
            }),
            other => Err(Error::unexpected("the trim script", other)),
        }
    }

    /// Entries older than this time are not wanted any more.
    fn cut(&self, shape: &Shape, now_ms: u64) -> u64 {
        let by_age = now_ms.saturating_sub(self.retention.age.as_millis() as u64);
        let bytes_each = (shape.bytes / shape.length.max(1)).max(1);
        let keep = self.retention.entries.min(self.retention.bytes / bytes_each);
        let span = shape.last_ms.saturating_sub(shape.first_ms);
        let excess = shape.length.saturating_sub(keep);
        let share = u128::from(span) * u128::from(excess) / u128::from(shape.length.max(1));
        let by_count = if excess == 0 { 0 } else { shape.first_ms.saturating_add(share as u64) };
        by_age.max(by_count)
    }

    async fn shape(&self) -> Result<Option<Shape>, Error> {
        let mut connection = self.redis.admin().get().await?;
        let info: Result<Value, _> =
            redis::cmd("XINFO").arg("STREAM").arg(self.key.as_str()).query_async(&mut connection).await;
        let info = match info {
            Ok(info) => info,
            Err(error) if error.to_string().contains("no such key") => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let number = |name| field(&info, name).and_then(|v| redis::from_redis_value_ref::<u64>(v).ok());
        let ms = |name| match field(&info, name) {
            Some(Value::Array(entry)) => entry.first().and_then(EntryId::from_value).map(|id| id.ms),
            _ => None,
        };
        let (Some(length), Some(first_ms), Some(last_ms)) =
            (number("length"), ms("first-entry"), ms("last-entry"))
        else {
            return Ok(None);
        };
        let bytes: Option<u64> =
            redis::cmd("MEMORY").arg("USAGE").arg(self.key.as_str()).query_async(&mut connection).await?;
        Ok(Some(Shape { length, first_ms, last_ms, bytes: bytes.unwrap_or(0) }))
    }
}

struct Shape {
    length: u64,
    first_ms: u64,
    last_ms: u64,
    bytes: u64,
}
