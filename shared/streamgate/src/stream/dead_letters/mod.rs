//! What nobody could process: kept beside the stream, with a reason, until somebody looks.
//!
//! [`DeadLetterQueue`] buries and counts; `letter` reads what was buried, `search` finds it again,
//! `replay` puts it back or throws it away.

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

/// Where entries go that nobody can process: a bounded stream beside the original one.
///
/// A dead letter has the fields `dlq_reason`, `dlq_attempts`, `dlq_origin_id`, `dlq_group`,
/// `dlq_consumer` and then the original fields as they were (the first 1,000; `dlq_fields_left_out`
/// counts the others); its id says when.
#[derive(Clone)]
pub struct DeadLetterQueue {
    redis: Redis,
    stream: StreamKey,
    key: StreamKey,
    keep: usize,
    bury: Arc<Script>,
    replay: Arc<Script>,
    discard: Arc<Script>,
}

/// An entry that became a dead letter.
pub(super) struct Buried {
    /// The dead letter.
    pub(super) id: EntryId,
    /// How many older ones were cut off to make room for it.
    pub(super) trimmed: u64,
}

/// Original fields kept of one entry: Lua passes a few thousand values at most, and a request has six.
const MOST_FIELDS: usize = 1_000;

impl DeadLetterQueue {
    /// The dead letters of `stream`, of which about `keep` are kept (whole nodes are cut).
    pub fn new(redis: Redis, stream: StreamKey, keep: usize) -> Self {
        let key = stream.dead_letters();
        let bury = Arc::new(Script::new(include_str!("../scripts/dead_letter.lua")));
        let replay = Arc::new(Script::new(include_str!("../scripts/replay.lua")));
        let discard = Arc::new(Script::new(include_str!("../scripts/discard.lua")));
        Self { redis, stream, key, keep, bury, replay, discard }
    }

    /// The dead-letter stream.
    pub fn key(&self) -> &StreamKey {
        &self.key
    }

    /// About how many are kept.
    pub fn keep(&self) -> usize {
        self.keep
    }

    /// Moves an entry here and acknowledges it, in one step. `None` if another consumer has
    /// claimed it meanwhile: it is that one's to settle.
    ///
    /// # Errors
    /// The connection's or the server's; the entry then stays pending.
    pub(super) async fn bury(
        &self,
        group: &str,
        consumer: &str,
        entry: &Entry,
        attempt: u32,
        reason: &str,
    ) -> Result<Option<Buried>, Error> {
        let id = entry.id.to_string();
        let (attempts, keep) = (attempt.to_string(), self.keep.to_string());
        let mut args: Vec<&[u8]> =
            vec![group.as_bytes(), consumer.as_bytes(), id.as_bytes(), keep.as_bytes()];
        let own = [reason, &attempts, &id, group, consumer];
        for (name, value) in letter::OWN_FIELDS.iter().zip(own) {
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
        let buried = self.bury.run(&self.redis, &[self.stream.as_str(), self.key.as_str()], &args).await?;
        match buried {
            Value::Nil => Ok(None),
            Value::Array(parts) => match &parts[..] {
                [id, Value::Int(trimmed)] => {
                    let trimmed = u64::try_from(*trimmed).unwrap_or(0);
                    Ok(EntryId::from_value(id).map(|id| Buried { id, trimmed }))
                }
                _ => Err(Error::unexpected("the burial", &Value::Array(parts))),
            },
            other => Err(Error::unexpected("the burial", &other)),
        }
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// The connection's or the server's.
    pub async fn count(&self) -> Result<u64, Error> {
        let length = self.redis.admin_command(redis::cmd("XLEN").arg(self.key.as_str())).await?;
        redis::from_redis_value(length).map_err(|_| Error::unexpected("XLEN", &Value::Nil))
    }
}
