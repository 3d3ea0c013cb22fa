use std::ops::RangeBounds;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};

use super::StreamChannel;
use crate::codec::{Codec, Json};
use crate::connection::Error;
use crate::stream::{Entries, EntryId, Item, ReadError, Start, Tail};

/// Reads the values on a stream once and in order, without a group. It ends when it has caught up, that is when a read
/// finds no further entry; [`Replay::follow`] goes on.
///
/// An entry that cannot be decoded is an item [`ReadError::Undecodable`]; the next item is the next value. During an
/// outage it waits and tries again. If Redis refuses to read, the last item is [`ReadError::Redis`].
///
/// ```no_run
/// # use std::ops::Bound;
/// # use streamgate::channel::StreamChannel;
/// # use streamgate::stream::EntryId;
/// # async fn example(orders: StreamChannel<String>, last: EntryId) -> Result<(), Box<dyn std::error::Error>> {
/// let mut missed = orders.replay((Bound::Excluded(last), Bound::Unbounded)).await?;
/// while let Some(item) = missed.next().await {
///     let item = item?;
///     println!("{}: {}", item.id, item.value);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Replay<T: Send + 'static, C: Codec<T> + 'static = Json>(Entries<StreamChannel<T, C>>);

impl<T: Send + 'static, C: Codec<T> + 'static> Replay<T, C> {
    pub(super) async fn start(
        channel: StreamChannel<T, C>,
        range: impl RangeBounds<EntryId>,
    ) -> Result<Self, Error> {
        let mut entries = Entries::of(channel, range, false);
        entries.read_first_page().await?;
        Ok(Self(entries))
    }

    /// The next value; `None` when it has caught up.
    pub async fn next(&mut self) -> Option<Result<Item<T>, ReadError>> {
        StreamExt::next(self).await
    }

    /// Goes on behind the last value that was given out, first with the rest of the stream, then with each new value as
    /// it comes: nothing is lost and nothing comes twice in between. The end of the range no longer counts.
    pub fn follow(self) -> Tail<T> {
        Tail::new(self.0.source(), Start::After(self.0.given_to()))
    }
}

impl<T: Send + 'static, C: Codec<T> + 'static> Stream for Replay<T, C> {
    type Item = Result<Item<T>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().0.poll_next_unpin(cx)
    }
}
