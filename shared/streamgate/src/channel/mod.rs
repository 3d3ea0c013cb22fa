//! The typed door: streams and Pub/Sub channels of values.
//!
//! [`StreamChannel`] is a stream whose entries hold values of one type, in the format of a [`Codec`].

use std::marker::PhantomData;
use std::sync::Arc;

use crate::codec::{Codec, CodecError, Json};
use crate::connection::Redis;
use crate::stream::{Entry, InvalidStreamKey, RedisStream, Source, StreamKey};

/// A stream of values of type `T`. Clones share everything.
pub struct StreamChannel<T, C = Json> {
    stream: RedisStream,
    codec: Arc<C>,
    value: PhantomData<fn() -> T>,
}

impl<T> StreamChannel<T> {
    /// The stream called `name`, with values in JSON; nothing is sent yet.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, InvalidStreamKey> {
        Self::with_codec(redis, name, Json)
    }
}

impl<T, C> StreamChannel<T, C> {
    /// The stream called `name`, with values in the format of `codec`.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn with_codec(redis: &Redis, name: &str, codec: C) -> Result<Self, InvalidStreamKey> {
        Ok(Self { stream: RedisStream::new(redis, name)?, codec: Arc::new(codec), value: PhantomData })
    }

    /// The stream without its type: entries and fields.
    pub fn stream(&self) -> &RedisStream {
        &self.stream
    }
}

impl<T, C> Clone for StreamChannel<T, C> {
    fn clone(&self) -> Self {
        Self { stream: self.stream.clone(), codec: Arc::clone(&self.codec), value: PhantomData }
    }
}

impl<T: Send + 'static, C: Codec<T> + 'static> Source for StreamChannel<T, C> {
    type Value = T;

    fn redis(&self) -> &Redis {
        self.stream.redis()
    }

    fn key(&self) -> &StreamKey {
        self.stream.key()
    }

    fn decode(&self, entry: &Entry) -> Result<T, CodecError> {
        entry.decode(&*self.codec)
    }
}
