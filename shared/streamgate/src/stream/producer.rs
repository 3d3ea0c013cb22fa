use std::time::Duration;

use bytes::Bytes;
use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{EntryId, StreamKey};
use crate::codec::{Codec, CodecError};
use crate::connection::{Arguments, BatchWriter, Error, ErrorKind, Outbound, Redis};
use crate::fields::Fields;

/// Appends entries to one stream. Entries that are queued at the same time share a pipeline.
#[derive(Clone)]
pub struct Producer {
    key: StreamKey,
    patience: Duration,
    writer: BatchWriter<Append>,
}

impl Producer {
    /// A producer for `key`. If the connection fails, an append is sent again for up to `patience`. The entry may then
    /// be stored twice, so give it a field with a unique id.
    pub fn new(redis: Redis, key: StreamKey, patience: Duration) -> Self {
        Self { key, patience, writer: BatchWriter::spawn(redis, "producer", 1_024, || 0) }
    }

    /// Appends a value as the fields `content_type` and `body`, in the format of `codec`.
    ///
    /// # Errors
    /// The value has no representation in this format, or [`Producer::append`] failed.
    pub async fn send<T>(&self, value: &T, codec: &impl Codec<T>) -> Result<EntryId, SendError> {
        let body = codec.encode(value)?;
        let fields = Fields::from_iter([("content_type", Bytes::from(codec.content_type())), ("body", body)]);
        Ok(self.append(fields).await?)
    }

    /// Appends one entry and returns the id that the server gave it.
    ///
    /// # Errors
    /// The server refused the entry, or could not be reached within `patience`. In the second case the entry may
    /// still have been stored.
    pub async fn append(&self, fields: Fields) -> Result<EntryId, Error> {
        let (done, stored) = oneshot::channel();
        let append =
            Append { key: self.key.clone(), fields, give_up_at: Instant::now() + self.patience, done };
        let ended = || Error::new(ErrorKind::Unreachable, "the producer has ended");
        self.writer.send(append).await.map_err(|_| ended())?;
        stored.await.map_err(|_| ended())?
    }
}

/// Why a value was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It could not be encoded; nothing was sent.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It could not be stored.
    #[error(transparent)]
    Redis(#[from] Error),
}

/// Writes the start of an XADD with a server-chosen id: names and values follow.
pub fn append_to(key: &str, args: &mut Arguments<'_>) {
    args.arg(b"XADD").arg(key.as_bytes()).arg(b"*");
}

struct Append {
    key: StreamKey,
    fields: Fields,
    give_up_at: Instant,
    done: oneshot::Sender<Result<EntryId, Error>>,
}

impl Outbound for Append {
    fn write(&self, args: &mut Arguments<'_>) {
        append_to(self.key.as_str(), args);
        for (name, value) in self.fields.iter() {
            args.arg(name).arg(value);
        }
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn settle(self, result: Result<Value, Error>) {
        let id = result
            .and_then(|value| EntryId::from_value(&value).ok_or_else(|| Error::unexpected("XADD", &value)));
        // The caller of `append` may have gone.
        let _ = self.done.send(id);
    }
}
