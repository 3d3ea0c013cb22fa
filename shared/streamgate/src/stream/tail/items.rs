use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};

use super::{Begin, Missed, News, StreamsReader};
use crate::connection::Redis;
use crate::stream::{Entry, EntryId, Item, ReadError, Source, Start, StreamKey};

/// The values of one stream from a place on, without a group: it follows the stream and never ends.
///
/// Promise: in the order of the stream, each entry once for each `Tail`, also over reconnects, restarts and
/// failovers of the server, as long as the server still has the entry. It is not remembered which entries were
/// handled: keep the id of the last item, and begin [`Start::After`] it.
///
/// It reads at most 128 entries ahead. If it is not polled, it reads nothing. Redis being away is logged and waited
/// out. Two things are said with the item that follows them: [`Tail::has_started_over`] and [`Tail::missed`].
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use streamgate::stream::{RedisStream, Start};
///
/// let mut orders = RedisStream::new(&redis, "orders")?.tail(Start::Beginning);
/// while let Some(item) = orders.next().await {
///     let item = item?;
///     println!("{}: {:?}", item.id, item.value.text("customer"));
/// }
/// # Ok(())
/// # }
/// ```
pub struct Tail<T>(TailAll<T>);

impl<T: Send + 'static> Tail<T> {
    /// Reads the stream of `source` from `start` on.
    pub fn new(source: &impl Source<Value = T>, start: Start) -> Self {
        Self(TailAll::reading(vec![(source.clone(), Begin::Start(start))]))
    }

    /// The next item; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The entry cannot be decoded, or Redis refuses to read the stream (this is said once, until it works again).
    /// Reading goes on after both.
    pub async fn next(&mut self) -> Option<Result<Item<T>, ReadError>> {
        StreamExt::next(self).await
    }

    /// True if the item that was just given does not continue those before it: the stream was deleted and written
    /// again, or another server has it. Its id may be smaller than those before, and items may come again.
    pub fn has_started_over(&self) -> bool {
        self.0.has_started_over()
    }

    /// The first and the last id between which entries may have been trimmed before they were read, just before the
    /// item that was just given.
    pub fn missed(&self) -> Option<(EntryId, EntryId)> {
        self.0.missed()
    }
}

impl<T: Send + 'static> Stream for Tail<T> {
    type Item = Result<Item<T>, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context).map(|next| next.map(|(_, item)| item))
    }
}

/// The values of several streams from a place on, without a group, over one connection: as [`Tail`], with the key of
/// each item's stream.
///
/// Promise: the order within each stream, and each entry once; between streams there is no order. All streams
/// together have at most 128 entries read ahead, or one per stream. A stream that Redis refuses to read does not stop
/// the others.
///
/// In a cluster, all streams must have one hash tag, as `{shop}:orders` and `{shop}:payments`.
///
/// ```no_run
/// # async fn example(redis: streamgate::connection::Redis) -> Result<(), Box<dyn std::error::Error>> {
/// use streamgate::stream::{RedisStream, Start};
///
/// let (orders, payments) = (RedisStream::new(&redis, "orders")?, RedisStream::new(&redis, "payments")?);
/// let mut both = RedisStream::tail_all([(orders, Start::End), (payments, Start::Beginning)])?;
/// while let Some((key, item)) = both.next().await {
///     println!("{key} {}", item?.id);
/// }
/// # Ok(())
/// # }
/// ```
pub struct TailAll<T> {
    steps: Pin<Box<dyn Stream<Item = Step<T>> + Send>>,
    started_over: bool,
    missed: Option<Missed>,
}

/// An item, and what is to be said with it.
struct Step<T> {
    key: StreamKey,
    item: Result<Item<T>, ReadError>,
    started_over: bool,
    missed: Option<Missed>,
}

/// The streams cannot be read together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStreams {
    /// There is none.
    #[error("name at least one stream")]
    None,
    /// One stream is there twice.
    #[error("stream {0} is named twice: name each stream once")]
    Twice(StreamKey),
    /// They are on two servers.
    #[error("stream {0} has another connection than the first: make all streams from clones of one `Redis`")]
    TwoServers(StreamKey),
}

impl InvalidStreams {
    /// Checks that `sources` can be read together.
    pub(crate) fn check<'a, S: Source>(sources: impl Iterator<Item = &'a S>) -> Result<(), Self> {
        let mut known: Vec<&S> = Vec::new();
        for source in sources {
            if known.first().is_some_and(|first| !first.redis().is(source.redis())) {
                return Err(Self::TwoServers(source.key().clone()));
            }
            if known.iter().any(|one| one.key() == source.key()) {
                return Err(Self::Twice(source.key().clone()));
            }
            known.push(source);
        }
        if known.is_empty() { Err(Self::None) } else { Ok(()) }
    }
}

/// How long a read blocks.
const BLOCK: Duration = Duration::from_secs(2);

impl<T: Send + 'static> TailAll<T> {
    /// Reads the streams of `sources`, each from its start on.
    ///
    /// # Errors
    /// There is no stream, one is there twice, or they are on two servers.
    pub fn new<S: Source<Value = T>>(
        sources: impl IntoIterator<Item = (S, Start)>,
    ) -> Result<Self, InvalidStreams> {
        let sources: Vec<_> =
            sources.into_iter().map(|(source, start)| (source, Begin::Start(start))).collect();
        InvalidStreams::check(sources.iter().map(|(source, _)| source))?;
        Ok(Self::reading(sources))
    }

    /// Reads sources that were checked.
    pub(crate) fn reading<S: Source<Value = T>>(sources: Vec<(S, Begin)>) -> Self {
        let redis: Option<Redis> = sources.first().map(|(source, _)| source.redis().clone());
        let streams = sources.iter().map(|(source, from)| (source.key().clone(), *from)).collect();
        let sources: Vec<S> = sources.into_iter().map(|(source, _)| source).collect();
        let reader = redis.map(|redis| StreamsReader::new(redis, streams, BLOCK, "tail"));
        let steps = futures_util::stream::unfold((reader, Queue::of(sources)), |(reader, mut queue)| async {
            let mut reader = reader?;
            let step = queue.next(&mut reader).await;
            Some((step, (Some(reader), queue)))
        });
        Self { steps: Box::pin(steps), started_over: false, missed: None }
    }

    /// The next item of any stream, with the key of its stream; waits for it. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As for [`Tail::next`]. If Redis does not say which stream it refuses, the error has the key of the first.
    pub async fn next(&mut self) -> Option<(StreamKey, Result<Item<T>, ReadError>)> {
        StreamExt::next(self).await
    }

    /// As [`Tail::has_started_over`], for the stream of the item that was just given.
    pub fn has_started_over(&self) -> bool {
        self.started_over
    }

    /// As [`Tail::missed`], for the stream of the item that was just given.
    pub fn missed(&self) -> Option<(EntryId, EntryId)> {
        self.missed.map(|missed| (missed.from, missed.to))
    }
}

impl<T: Send + 'static> Stream for TailAll<T> {
    type Item = (StreamKey, Result<Item<T>, ReadError>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let step = std::task::ready!(self.steps.poll_next_unpin(context));
        Poll::Ready(step.map(|step| {
            (self.started_over, self.missed) = (step.started_over, step.missed);
            (step.key, step.item)
        }))
    }
}

/// Entries that were read and not given yet.
struct Queue<S> {
    sources: Vec<S>,
    entries: VecDeque<(usize, Entry)>,
    faults: VecDeque<(usize, ReadError)>,
    /// What is to be said with the next item of each stream.
    remarks: Vec<(bool, Option<Missed>)>,
}

impl<S: Source> Queue<S> {
    fn of(sources: Vec<S>) -> Self {
        let remarks = vec![(false, None); sources.len()];
        Self { sources, entries: VecDeque::new(), faults: VecDeque::new(), remarks }
    }

    async fn next(&mut self, reader: &mut StreamsReader) -> Step<S::Value> {
        loop {
            if let Some((of, fault)) = self.faults.pop_front() {
                let key = reader.key(of).clone();
                return Step { key, item: Err(fault), started_over: false, missed: None };
            }
            if let Some((of, entry)) = self.entries.pop_front() {
                let (started_over, missed) = std::mem::take(&mut self.remarks[of]);
                let id = entry.id;
                let value = self.sources[of].decode(&entry);
                let item = value
                    .map(|value| Item { id, value })
                    .map_err(|source| ReadError::Undecodable { id, source });
                return Step { key: reader.key(of).clone(), item, started_over, missed };
            }
            let findings = reader.read().await;
            for (of, news) in findings.news {
                match news {
                    News::StartedOver => self.remarks[of].0 = true,
                    News::Missed(missed) => self.remarks[of].1 = Some(missed),
                    News::Fault(error) => self.faults.push_back((of, error.into())),
                }
            }
            for batch in findings.batches {
                self.entries.extend(batch.entries.into_iter().map(|entry| (batch.of, entry)));
            }
        }
    }
}
