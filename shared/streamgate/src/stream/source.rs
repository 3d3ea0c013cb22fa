use super::{Entry, EntryId, StreamKey};
use crate::codec::CodecError;
use crate::connection::{Error, Redis};

/// A stream, and how its entries become values: what every reader of a stream is made from.
///
/// [`RedisStream`](super::RedisStream) gives the fields themselves;
/// [`StreamChannel`](crate::channel::StreamChannel) decodes a value.
pub trait Source: Clone + Send + Sync + 'static {
    /// What an entry becomes.
    type Value: Send + 'static;

    /// The handle to the server.
    fn redis(&self) -> &Redis;

    /// The stream.
    fn key(&self) -> &StreamKey;

    /// The value of an entry.
    ///
    /// # Errors
    /// The entry holds no such value.
    fn decode(&self, entry: &Entry) -> Result<Self::Value, CodecError>;
}

/// The value of one entry, with the entry's id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<T> {
    /// The entry's id.
    pub id: EntryId,
    /// The value.
    pub value: T,
}

/// Why an item could not be read. Reading goes on after it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The entry holds no such value.
    #[error("entry {id} cannot be decoded: {source}")]
    Undecodable {
        /// The entry's id.
        id: EntryId,
        /// What is wrong with it.
        #[source]
        source: CodecError,
    },
    /// Redis refused the read.
    #[error(transparent)]
    Redis(#[from] Error),
}
