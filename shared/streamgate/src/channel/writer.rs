use std::time::Duration;

use super::StreamChannel;
use crate::codec::{Codec, CodecError, Json};
use crate::fields::Fields;
use crate::stream::{AppendError, AppendOptions, BatchError, Cap, Entry, EntryId};

/// Appends values to a stream, each as one entry with the fields `content_type` and `body`. Clones share everything.
///
/// A value for which [`StreamWriter::send`] returned its id is stored. If Redis cannot be reached, a single value is
/// sent again for up to five seconds and may be stored twice; values of a batch are sent once. Values that one task sends one after the other are on the
/// stream in this order.
///
/// ```no_run
/// # use streamgate::channel::{StreamChannel, WriteError};
/// # async fn example(orders: StreamChannel<String>) -> Result<(), WriteError> {
/// let writer = orders.writer();
/// let id = writer.send(&"tea".to_owned()).await?;
/// let ids = writer.send_batch(&["milk".to_owned(), "sugar".to_owned()]).await?;
/// assert!(id < ids[0] && ids[0] < ids[1]);
/// # Ok(())
/// # }
/// ```
pub struct StreamWriter<T, C = Json> {
    channel: StreamChannel<T, C>,
    max_len: Option<u64>,
    largest_value: usize,
}

/// Default of [`StreamWriter::largest_value`].
const LARGEST_VALUE: usize = 16 << 20;

impl<T: Send + 'static, C: Codec<T> + 'static> StreamWriter<T, C> {
    pub(super) fn new(channel: StreamChannel<T, C>) -> Self {
        Self { channel, max_len: None, largest_value: LARGEST_VALUE }
    }

    /// Keeps the newest `entries` of the stream and deletes the others with each write, **also those that no group has
    /// read or acknowledged yet**. Without it, nothing that is unread is deleted (see
    /// [`Trimmer`](crate::stream::Trimmer)).
    #[must_use]
    pub fn max_len(self, entries: u64) -> Self {
        Self { max_len: Some(entries), ..self }
    }

    /// The largest encoded value that is sent, in bytes; the default is 16 MiB. Redis takes up to 512 MiB, but a large
    /// value delays all other commands of the server.
    #[must_use]
    pub fn largest_value(self, bytes: usize) -> Self {
        Self { largest_value: bytes, ..self }
    }

    /// How long an append goes on if Redis cannot be reached; the default is five seconds.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { channel: self.channel.patience(patience), ..self }
    }

    /// Appends a value; returns its id.
    ///
    /// # Errors
    /// The value cannot be encoded or is too large (nothing was sent then), or Redis did not confirm it.
    pub async fn send(&self, value: &T) -> Result<EntryId, WriteError> {
        self.send_with(value, []).await
    }

    /// Appends a value and, in the same entry, further fields about it, such as the `traceparent` of its trace. Readers
    /// of the value do not look at them; [`Message::fields`](super::Message::fields) has them.
    ///
    /// # Errors
    /// The same as for [`StreamWriter::send`].
    pub async fn send_with<'a>(
        &self,
        value: &T,
        further: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<EntryId, WriteError> {
        let fields = self.encode(0, value)?;
        let further: Vec<_> =
            further.into_iter().map(|(name, text)| (name.as_bytes(), text.as_bytes())).collect();
        let fields = match further.is_empty() {
            true => fields,
            false => fields.iter().chain(further).collect(),
        };
        let options = AppendOptions { cap: self.cap(), ..AppendOptions::default() };
        Ok(self.channel.stream().append_with(fields, options).await?)
    }

    /// Appends values in order; returns their ids in the same order. All are encoded before the first is sent.
    /// Other writers may append between them.
    ///
    /// # Errors
    /// A value cannot be encoded or is too large (nothing was sent then), or Redis did not confirm all of them;
    /// [`BatchError`] names those that are stored.
    pub async fn send_batch(&self, values: &[T]) -> Result<Vec<EntryId>, WriteError> {
        let encoded = values.iter().enumerate().map(|(position, value)| self.encode(position, value));
        let encoded: Vec<Fields> = encoded.collect::<Result<_, _>>()?;
        Ok(self.channel.stream().append_batch_capped(encoded, self.cap()).await?)
    }

    fn cap(&self) -> Option<Cap> {
        self.max_len.map(Cap::MaxLen)
    }

    fn encode(&self, position: usize, value: &T) -> Result<Fields, WriteError> {
        let fields = Entry::fields_of(value, &*self.channel.codec)
            .map_err(|source| WriteError::Encode { position, source })?;
        let bytes = fields.size();
        match bytes > self.largest_value {
            true => Err(WriteError::TooLarge { position, bytes, largest: self.largest_value }),
            false => Ok(fields),
        }
    }
}

impl<T, C> Clone for StreamWriter<T, C> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), ..*self }
    }
}

/// Why values were not sent, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A value has no representation in the format of the channel. Nothing was sent.
    #[error("value {position} cannot be encoded, and nothing was sent: {source}")]
    Encode {
        /// Its position in the batch, counted from 0.
        position: usize,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// A value is too large. Nothing was sent.
    #[error(
        "value {position} has {bytes} bytes, which is more than {largest}, and nothing was sent: store large values elsewhere and send their place, or raise `largest_value`"
    )]
    TooLarge {
        /// Its position in the batch, counted from 0.
        position: usize,
        /// Its size with the names of its fields.
        bytes: usize,
        /// The limit.
        largest: usize,
    },
    /// One value was not stored, or Redis did not confirm it.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Not all values of a batch were stored, or Redis did not confirm all of them.
    #[error(transparent)]
    Batch(#[from] BatchError),
}
