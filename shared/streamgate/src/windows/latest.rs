use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};

use crate::stream::{Begin, InvalidStreams, Item, ReadError, Source, StreamKey, TailAll};

/// Keeps the latest item of each of several streams, over one connection. See [`Latest`].
///
/// # Errors
/// There is no stream, one is there twice, or they are on two servers; nothing is sent.
pub fn aggregate<S: Source>(
    sources: impl IntoIterator<Item = S>,
) -> Result<Latest<S::Value>, InvalidStreams> {
    let sources: Vec<_> = sources.into_iter().map(|source| (source, Begin::LastEntry)).collect();
    InvalidStreams::check(sources.iter().map(|(source, _)| source))?;
    Ok(Latest { tail: TailAll::reading(sources), items: BTreeMap::new() })
}

/// The latest item of each stream, and the updates: first the last entry of each stream that has one, then every
/// new entry. It never ends.
///
/// Promise: as for [`TailAll`]: each update once, in the order of its stream. The snapshot changes only when
/// [`Latest::next`] gives an update, and has one item for each stream, whatever the number of entries.
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use streamgate::channel::StreamChannel;
/// use streamgate::windows::aggregate;
///
/// let of = |city| StreamChannel::<f64>::new(&redis, &format!("temperature-{city}"));
/// let mut temperatures = aggregate([of("oslo")?, of("rome")?])?;
/// while let Some((key, item)) = temperatures.next().await {
///     println!("{key} is now {}", item?.value);
///     for (key, item) in temperatures.snapshot() {
///         println!("{key}: {} since {}", item.value, item.id.ms);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Latest<T> {
    tail: TailAll<T>,
    items: BTreeMap<StreamKey, Item<Arc<T>>>,
}

/// An update, with the key of its stream.
type Update<T> = (StreamKey, Result<Item<Arc<T>>, ReadError>);

impl<T: Send + Sync + 'static> Latest<T> {
    /// The next update; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As for [`TailAll::next`]. The snapshot keeps the item before an entry that cannot be decoded.
    pub async fn next(&mut self) -> Option<Update<T>> {
        StreamExt::next(self).await
    }

    /// The latest item of each stream that has one.
    pub fn snapshot(&self) -> &BTreeMap<StreamKey, Item<Arc<T>>> {
        &self.items
    }
}

impl<T: Send + Sync + 'static> Stream for Latest<T> {
    type Item = Update<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Update<T>>> {
        let Some((key, item)) = std::task::ready!(self.tail.poll_next_unpin(context)) else {
            return Poll::Ready(None);
        };
        let item = item.map(|item| Item { id: item.id, value: Arc::new(item.value) });
        if let Ok(item) = &item {
            self.items.insert(key.clone(), item.clone());
        }
        Poll::Ready(Some((key, item)))
    }
}
