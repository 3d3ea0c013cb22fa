//! Dead letters: entries that no worker could process, kept beside the stream with a reason, for a person to look at.
//!
//! In reading order: [`DeadLetterQueue`] (here) adds and counts them, `letter` reads them, `search` finds them,
//! `replay` puts them back or removes them.

mod letter;
mod replay;
mod search;

use std::sync::Arc;

use redis::Value;

use super::entry::Entry;
use super::{EntryId, StreamKey};
use crate::connection::{Error, Redis, Script};

pub use letter::{DeadLetter, REPLAY_OF};
pub use replay::{NotReplayable, Replay};
pub use search::{DeadLetterFilter, DeadLetterPage};

/// The dead letters of a stream: a bounded stream beside the original one.
///
/// A dead letter has the fields `dlq_reason` (the first line of the reason), `dlq_attempts`, `dlq_origin_id`,
/// `dlq_group`, `dlq_consumer`, `dlq_stream`, if the reason has more lines `dlq_detail`, and then the original fields
/// unchanged (the first 1,000; `dlq_fields_left_out` counts the others). Its id contains the time at which it was added.
///
/// [`RedisStream::dead_letters`](super::RedisStream::dead_letters) has an example.
#[derive(Clone)]
pub struct DeadLetterQueue {
    redis: Redis,
    stream: StreamKey,
    key: StreamKey,
    keep: usize,
    add: Arc<Script>,
    replay: Arc<Script>,
    discard: Arc<Script>,
}

/// About how many dead letters are kept by default.
pub(super) const DEFAULT_KEPT: usize = 10_000;

/// An entry that became a dead letter.
pub(super) struct Added {
    /// The id of the dead letter.
    pub(super) id: EntryId,
    /// How many older dead letters were trimmed to make room for it.
    pub(super) trimmed: u64,
}

/// The most original fields kept of one entry: a Lua call takes a few thousand values at most. A request has six
/// fields.
const MOST_FIELDS: usize = 1_000;

impl DeadLetterQueue {
    /// The dead letters of `stream`. About `keep` of them are kept (Redis trims whole nodes).
    pub fn new(redis: Redis, stream: StreamKey, keep: usize) -> Self {
        let key = stream.dead_letters();
        let add = Arc::new(Script::new(include_str!("../scripts/dead_letter.lua")));
        let replay = Arc::new(Script::new(include_str!("../scripts/replay.lua")));
        let discard = Arc::new(Script::new(include_str!("../scripts/discard.lua")));
        Self { redis, stream, key, keep, add, replay, discard }
    }

    /// The dead-letter stream.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// About how many dead letters are kept.
    pub fn keep(&self) -> usize {
        self.keep
    }

    /// Moves an entry to the dead letters and acknowledges it, in one step. `None` if another consumer has
    /// claimed the entry: then that consumer settles it.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command; the entry then stays pending.
    pub(super) async fn add(
        &self,
        group: &str,
        consumer: &str,
        entry: &Entry,
        attempt: u32,
        reason: &str,
    ) -> Result<Option<Added>, Error> {
        let id = entry.id.to_string();
        let (attempts, keep) = (attempt.to_string(), self.keep.to_string());
        let mut args: Vec<&[u8]> =
            vec![group.as_bytes(), consumer.as_bytes(), id.as_bytes(), keep.as_bytes()];
        let (reason, detail) = reason.split_once('\n').unwrap_or((reason, ""));
        let own = [reason, &attempts, &id, group, consumer, self.stream.as_str(), detail];
        let has_detail = usize::from(!detail.is_empty());
        for (name, value) in letter::OWN_FIELDS.iter().zip(own).take(own.len() - 1 + has_detail) {
            args.extend([name.as_bytes(), value.as_bytes()]);
        }
        let fields = &entry.fields;
        let left_out = fields.len().saturating_sub(MOST_FIELDS).to_string();
        if fields.len() > MOST_FIELDS {
            args.extend([letter::LEFT_OUT.as_bytes(), left_out.as_bytes()]);
        }
        for (name, value) in fields.iter().take(MOST_FIELDS) {
            args.extend([name, value]);
        }
        let answer = self.add.run(&self.redis, &[self.stream.as_str(), self.key.as_str()], &args).await?;
        match answer {
            Value::Nil => Ok(None),
            Value::Array(parts) => match &parts[..] {
                [id, Value::Int(trimmed)] => {
                    let trimmed = u64::try_from(*trimmed).unwrap_or(0);
                    Ok(EntryId::from_value(id).map(|id| Added { id, trimmed }))
                }
                _ => Err(Error::unexpected("the dead_letter script", &Value::Array(parts))),
            },
            other => Err(Error::unexpected("the dead_letter script", &other)),
        }
    }

    /// The number of dead letters.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn count(&self) -> Result<u64, Error> {
        let length = self.redis.admin_command(redis::cmd("XLEN").arg(self.key.as_str())).await?;
        redis::from_redis_value(length).map_err(|_| Error::unexpected("XLEN", &Value::Nil))
    }
}
