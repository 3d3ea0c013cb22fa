use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};

use super::StreamChannel;
use super::replay::item;
use crate::codec::{Codec, Json};
use crate::connection::Error;
use crate::stream::{Entry, EntryId, Item, ReadError, Source, Start, TailReader};

/// Reads the values of a stream from an id on, and then each new one as it comes, without a group; made by
/// [`Replay::follow`](super::Replay::follow). Each value comes once, in order.
///
/// It does not end because the stream is quiet, and it reconnects by itself. If the stream was deleted and written anew, it
/// is read from its beginning, and a warning is logged. A value that is deleted before it is read is not given out: a
/// stream that is trimmed does not wait for readers without a group.
pub struct Follow<T, C = Json> {
    channel: StreamChannel<T, C>,
    /// The last entry that was given out, or before the first.
    position: EntryId,
    /// `None` while it reads.
    tail: Option<TailReader>,
    reading: Option<BoxFuture<'static, (TailReader, Result<Vec<Entry>, Error>)>>,
    entries: VecDeque<Entry>,
}

/// The longest time that one read blocks.
const BLOCK: Duration = Duration::from_secs(5);

impl<T: Send + 'static, C: Codec<T> + 'static> Follow<T, C> {
    pub(super) fn new(channel: StreamChannel<T, C>, after: EntryId) -> Self {
        let (redis, key) = (channel.redis().clone(), channel.key().clone());
        let tail = TailReader::new(redis, key, BLOCK, "follower").starting_at(Start::After(after));
        Self { channel, position: after, tail: Some(tail), reading: None, entries: VecDeque::new() }
    }

    /// The next value; waits for it.
    pub async fn next(&mut self) -> Option<Result<Item<T>, ReadError>> {
        StreamExt::next(self).await
    }

    /// The id of the last value given out, to go on from here later: replay what is behind it.
    pub fn position(&self) -> EntryId {
        self.position
    }
}

impl<T: Send + 'static, C: Codec<T> + 'static> Stream for Follow<T, C> {
    type Item = Result<Item<T>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let follow = self.get_mut();
        loop {
            if let Some(entry) = follow.entries.pop_front() {
                follow.position = entry.id;
                return Poll::Ready(Some(item(&follow.channel, &entry)));
            }
            if let Some(tail) = follow.tail.take() {
                follow.reading = Some(Box::pin(read(tail)));
            }
            let Some(reading) = &mut follow.reading else { return Poll::Ready(None) };
            let (tail, entries) = ready!(reading.as_mut().poll(cx));
            (follow.tail, follow.reading) = (Some(tail), None);
            match entries {
                Ok(entries) => follow.entries = entries.into(),
                Err(error) => return Poll::Ready(Some(Err(error.into()))),
            }
        }
    }
}

// Nothing in a follower is pinned: a read has a place of its own.
impl<T, C> Unpin for Follow<T, C> {}

/// Reads until there are entries. An error is one that another try will not heal; the pause after it is over.
async fn read(mut tail: TailReader) -> (TailReader, Result<Vec<Entry>, Error>) {
    loop {
        match tail.read().await {
            Ok(entries) if entries.is_empty() => {}
            Ok(entries) => return (tail, Ok(entries)),
            Err(error) => {
                tokio::time::sleep(tail.failed(&error)).await;
                if !error.is_transient() {
                    return (tail, Err(error));
                }
            }
        }
    }
}
