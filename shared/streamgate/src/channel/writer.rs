use super::StreamChannel;
use super::append::append_all;
use crate::codec::{Codec, CodecError, Json};
use crate::connection::{Error, ErrorKind};
use crate::fields::Fields;
use crate::stream::{Entry, EntryId};

/// Appends values to a stream, each as one entry with the fields `content_type` and `body`. Clones share everything.
///
/// A value for which [`StreamWriter::send`] returned its id is stored. If Redis does not answer, the value may be
/// stored or not; sent again, it may be on the stream twice. Values that one task sends one after the other are on the
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

    /// Appends a value; returns its id.
    ///
    /// # Errors
    /// The value cannot be encoded or is too large (nothing was sent then), or Redis did not confirm it.
    pub async fn send(&self, value: &T) -> Result<EntryId, WriteError> {
        let fields = self.encode(0, value)?;
        let entries = std::slice::from_ref(&fields);
        let (ids, failure) = append_all(self.channel.stream(), entries, self.max_len).await;
        ids.first().copied().flatten().ok_or_else(|| WriteError::not_stored(ids, failure))
    }

    /// Appends values in order; returns their ids in the same order. All are encoded before the first is sent.
    /// Other writers may append between them.
    ///
    /// # Errors
    /// A value cannot be encoded or is too large (nothing was sent then), or Redis did not confirm all of them;
    /// [`WriteError::Store`] names those that are stored.
    pub async fn send_batch(&self, values: &[T]) -> Result<Vec<EntryId>, WriteError> {
        let encoded = values.iter().enumerate().map(|(position, value)| self.encode(position, value));
        let encoded: Vec<Fields> = encoded.collect::<Result<_, _>>()?;
        let (ids, failure) = append_all(self.channel.stream(), &encoded, self.max_len).await;
        match ids.iter().copied().collect::<Option<Vec<_>>>() {
            Some(all) => Ok(all),
            None => Err(WriteError::not_stored(ids, failure)),
        }
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
    /// Redis did not confirm all values.
    #[error("{} of {} values are known to be stored: {source}", ids.iter().flatten().count(), ids.len())]
    Store {
        /// For each value in order, its id if it is known to be stored. If Redis could not be reached, the next 512
        /// values after the last id may also be stored; if Redis refused a value, it is not.
        ids: Vec<Option<EntryId>>,
        /// The first error.
        #[source]
        source: Error,
    },
}

impl WriteError {
    fn not_stored(ids: Vec<Option<EntryId>>, failure: Option<Error>) -> Self {
        let source = failure.unwrap_or_else(|| Error::new(ErrorKind::Refused, "fewer answers than values"));
        Self::Store { ids, source }
    }
}
