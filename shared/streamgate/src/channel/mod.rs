//! The typed door: streams and Pub/Sub channels of values.
//!
//! In reading order:
//!
//! - [`StreamChannel`] (here) is a stream whose entries hold values of one type, in the format of a [`Codec`].
//! - [`StreamWriter`] (`writer`) appends values.
//! - [`Reader`] (`reader`) reads as a member of a group. It gives out [`Message`]s, which are acknowledged or tried
//!   again.
//! - [`Replay`] (`replay`) reads what is on the stream, without a group; its [`Tail`](crate::stream::Tail) goes on with
//!   new values.
//! - [`PubSubChannel`] (`pubsub`) has the same shape, but stores nothing.
//!
//! | Type | What is promised |
//! |---|---|
//! | [`Reader`] | Each value at least once in each group. |
//! | [`Reader`] with [`auto_acknowledge`](ReaderBuilder::auto_acknowledge) | Each value once, also if its work fails; again only if the reader dies before it acknowledges. |
//! | [`Replay`], [`Tail`](crate::stream::Tail) | Each value that is on the stream once, in order. |
//! | [`Subscription`] | At most once: a value is lost for a subscriber that is not connected. |
//!
//! A Redis server that is not durable loses the last values when it crashes; see `appendfsync` in the manual of Redis.
//!
//! The type of the values is the type `T` of the channel. A type's name that comes from the stream is never looked up;
//! for several kinds of values, make `T` an enum with a tag (see [`codec`](crate::codec)).

mod pubsub;
mod reader;
mod replay;
mod writer;

use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::{Codec, CodecError, Json};
use crate::connection::{Error, Redis};
use crate::stream::{Entry, EntryId, Group, InvalidStreamKey, RedisStream, Source, StreamKey};

pub use crate::stream::ReadError;
pub use pubsub::{PubSubChannel, PubSubEvent, PublishError, Subscription};
pub use reader::{Message, NotAcknowledged, Reader, ReaderBuilder, SettleError, StartError};
pub use replay::Replay;
pub use writer::{StreamWriter, WriteError};

/// A stream of values of type `T`. Clones share everything.
///
/// ```no_run
/// use serde::{Deserialize, Serialize};
/// use streamgate::channel::StreamChannel;
/// use streamgate::connection::Redis;
/// use streamgate::stream::{EntryId, Group};
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Order {
///     customer: String,
///     cents: u64,
/// }
///
/// # async fn example(redis: Redis) -> Result<(), Box<dyn std::error::Error>> {
/// let orders = StreamChannel::<Order>::new(&redis, "orders")?;
/// orders.writer().send(&Order { customer: "Ada".to_owned(), cents: 250 }).await?;
///
/// let mut reader = orders.reader(Group::new("billing")).await?;
/// while let Some(message) = reader.next().await {
///     let message = message?;
///     println!("{} pays {} cents", message.value.customer, message.value.cents);
///     message.acknowledge().await?;
/// }
///
/// let mut history = orders.replay(EntryId::MIN..).await?;
/// while let Some(item) = history.next().await {
///     println!("{:?}", item?.value);
/// }
/// # Ok(())
/// # }
/// ```
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

impl<T: Send + 'static, C: Codec<T> + 'static> StreamChannel<T, C> {
    /// A writer of values. Nothing is trimmed when it writes, unless [`StreamWriter::max_len`] is called.
    pub fn writer(&self) -> StreamWriter<T, C> {
        StreamWriter::new(self.clone())
    }

    /// A reader as a member of `group`. Set its options, then await it. It trims the stream, unless
    /// [`ReaderBuilder::keep_all`] is called.
    pub fn reader(&self, group: Group) -> ReaderBuilder<T, C> {
        ReaderBuilder::new(self.clone(), group)
    }

    /// Reads the values in a range of ids, without a group, oldest first. It ends when it has caught up.
    ///
    /// `EntryId::MIN..` is everything; `(Bound::Excluded(id), Bound::Unbounded)` is what follows the entry `id`.
    ///
    /// # Errors
    /// The stream cannot be read now.
    pub async fn replay(&self, range: impl RangeBounds<EntryId>) -> Result<Replay<T, C>, Error> {
        Replay::start(self.clone(), range).await
    }
}

impl<T, C> StreamChannel<T, C> {
    fn patience(self, patience: Duration) -> Self {
        Self { stream: self.stream.patience(patience), ..self }
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
