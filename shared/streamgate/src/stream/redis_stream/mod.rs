//! The raw door: one stream, its entries and fields, as the commands of Redis see them.

mod tail;

use super::{Entry, InvalidStreamKey, Source, StreamKey};
use crate::codec::CodecError;
use crate::connection::Redis;
use crate::fields::Fields;

/// One stream. Clones share everything.
#[derive(Clone)]
pub struct RedisStream {
    redis: Redis,
    key: StreamKey,
}

impl RedisStream {
    /// The stream called `name`; nothing is sent yet.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, InvalidStreamKey> {
        Ok(Self::of(redis, name.parse()?))
    }

    /// The stream `key`.
    pub fn of(redis: &Redis, key: StreamKey) -> Self {
        Self { redis: redis.clone(), key }
    }
}

impl Source for RedisStream {
    type Value = Fields;

    fn redis(&self) -> &Redis {
        &self.redis
    }

    fn key(&self) -> &StreamKey {
        &self.key
    }

    fn decode(&self, entry: &Entry) -> Result<Fields, CodecError> {
        Ok(entry.fields.clone())
    }
}
