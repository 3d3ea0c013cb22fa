use std::sync::Arc;

use bytes::Bytes;
use redis::Value;

use super::entry::Entry;
use super::{EntryId, StreamKey};
use crate::connection::{Error, Redis, Script};
use crate::fields::Fields;

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
    script: Arc<Script>,
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id on the dead-letter stream.
    pub id: EntryId,
    /// Why the entry was given up.
    pub reason: String,
    /// How often it had been delivered.
    pub attempts: u32,
    /// Its id on the original stream.
    pub origin_id: Option<EntryId>,
    /// Which consumer gave it up.
    pub consumer: String,
    /// The original fields.
    pub fields: Fields,
}

/// Original fields kept of one entry: Lua passes a few thousand values at most, and a request has six.
const MOST_FIELDS: usize = 1_000;

const REASON: &str = "dlq_reason";
const ATTEMPTS: &str = "dlq_attempts";
const ORIGIN_ID: &str = "dlq_origin_id";
const GROUP: &str = "dlq_group";
const CONSUMER: &str = "dlq_consumer";
/// How many fields were too many to keep.
const LEFT_OUT: &str = "dlq_fields_left_out";
const OWN_FIELDS: [&str; 5] = [REASON, ATTEMPTS, ORIGIN_ID, GROUP, CONSUMER];

impl DeadLetterQueue {
    /// The dead letters of `stream`, of which about `keep` are kept (whole nodes are cut).
    pub fn new(redis: Redis, stream: StreamKey, keep: usize) -> Self {
        let key = stream.dead_letters();
        let script = Arc::new(Script::new(include_str!("scripts/dead_letter.lua")));
        Self { redis, stream, key, keep, script }
    }

    /// The dead-letter stream.
    pub fn key(&self) -> &StreamKey {
        &self.key
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
    ) -> Result<Option<EntryId>, Error> {
        let id = entry.id.to_string();
        let (attempts, keep) = (attempt.to_string(), self.keep.to_string());
        let mut args: Vec<&[u8]> =
            vec![group.as_bytes(), consumer.as_bytes(), id.as_bytes(), keep.as_bytes()];
        let own = [reason, &attempts, &id, group, consumer];
        for (name, value) in OWN_FIELDS.iter().zip(own) {
            args.extend([name.as_bytes(), value.as_bytes()]);
        }
        let fields = &entry.fields;
        let left_out = fields.len().saturating_sub(MOST_FIELDS).to_string();
        if fields.len() > MOST_FIELDS {
            args.extend([LEFT_OUT.as_bytes(), left_out.as_bytes()]);
        }
        for (name, value) in fields.iter().take(MOST_FIELDS) {
            args.extend([&name[..], &value[..]]);
        }
        let buried = self.script.run(&self.redis, &[self.stream.as_str(), self.key.as_str()], &args).await?;
        Ok(EntryId::from_value(&buried))
    }

    /// Up to `count` dead letters, the newest first, starting below `before` (from the newest
    /// where it is `None`).
    ///
    /// # Errors
    /// The connection's or the server's.
    pub async fn list(&self, before: Option<EntryId>, count: usize) -> Result<Vec<DeadLetter>, Error> {
        let end = before.map_or_else(|| "+".to_owned(), |id| format!("({id}"));
        let mut cmd = redis::cmd("XREVRANGE");
        cmd.arg(self.key.as_str()).arg(end).arg("-").arg("COUNT").arg(count);
        let mut connection = self.redis.admin().get().await?;
        let value: Value = cmd.query_async(&mut connection).await?;
        let entries = Entry::list(value).ok_or_else(|| Error::unexpected("XREVRANGE", &Value::Nil))?;
        Ok(entries.into_iter().map(DeadLetter::from).collect())
    }

    /// How many dead letters there are.
    ///
    /// # Errors
    /// The connection's or the server's.
    pub async fn count(&self) -> Result<u64, Error> {
        let mut connection = self.redis.admin().get().await?;
        Ok(redis::cmd("XLEN").arg(self.key.as_str()).query_async(&mut connection).await?)
    }
}

impl From<Entry> for DeadLetter {
    fn from(entry: Entry) -> Self {
        let text = |name| entry.fields.text(name).unwrap_or_default();
        let is_own = |name: &Bytes| OWN_FIELDS.iter().any(|own| name == own.as_bytes());
        Self {
            id: entry.id,
            reason: text(REASON).to_owned(),
            attempts: text(ATTEMPTS).parse().unwrap_or(0),
            origin_id: text(ORIGIN_ID).parse().ok(),
            consumer: text(CONSUMER).to_owned(),
            fields: entry
                .fields
                .iter()
                .filter(|(name, _)| !is_own(name))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }
}
