use std::collections::VecDeque;
use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt};

use super::StreamChannel;
use crate::codec::{Codec, Json};
use crate::connection::{Error, ErrorKind, RetryLog};
use crate::stream::{Entry, EntryId, Item, ReadError, RedisStream, Source, Start, Tail};

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
pub struct Replay<T, C = Json> {
    channel: StreamChannel<T, C>,
    /// The last entry read. The next page starts behind it.
    read_to: Bound<EntryId>,
    end: Bound<EntryId>,
    /// The rest of the last page.
    page: VecDeque<Entry>,
    reading: Option<BoxFuture<'static, Result<Vec<Entry>, Error>>>,
    ended: bool,
}

/// Entries in one page.
const PAGE: usize = 100;

impl<T: Send + 'static, C: Codec<T> + 'static> Replay<T, C> {
    pub(super) async fn start(
        channel: StreamChannel<T, C>,
        range: impl RangeBounds<EntryId>,
    ) -> Result<Self, Error> {
        let (start, end) = (range.start_bound().cloned(), range.end_bound().cloned());
        let mut replay =
            Self { channel, read_to: start, end, page: VecDeque::new(), reading: None, ended: false };
        let first = page(replay.channel.stream(), start, end).await?;
        replay.turn_to(first);
        Ok(replay)
    }

    /// The next value; `None` when it has caught up.
    pub async fn next(&mut self) -> Option<Result<Item<T>, ReadError>> {
        StreamExt::next(self).await
    }

    /// Goes on behind the last value that was given out, first with the rest of the stream, then with each new value as
    /// it comes: nothing is lost and nothing comes twice in between. The end of the range no longer counts.
    pub fn follow(self) -> Tail<T> {
        // What was read and not given out is read again.
        let after = match self.page.front() {
            Some(next) => before(next.id),
            None => match self.read_to {
                Bound::Included(id) => before(id),
                Bound::Excluded(id) => id,
                Bound::Unbounded => EntryId::MIN,
            },
        };
        Tail::new(&self.channel, Start::After(after))
    }

    fn turn_to(&mut self, page: Vec<Entry>) {
        match page.last() {
            Some(last) => self.read_to = Bound::Excluded(last.id),
            None => self.ended = true,
        }
        self.page = page.into();
    }
}

impl<T: Send + 'static, C: Codec<T> + 'static> Stream for Replay<T, C> {
    type Item = Result<Item<T>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let replay = self.get_mut();
        loop {
            if let Some(entry) = replay.page.pop_front() {
                return Poll::Ready(Some(item(&replay.channel, &entry)));
            }
            if replay.ended {
                return Poll::Ready(None);
            }
            let (channel, start, end) = (&replay.channel, replay.read_to, replay.end);
            let reading = replay
                .reading
                .get_or_insert_with(|| Box::pin(patient_page(channel.stream().clone(), start, end)));
            let page = ready!(reading.as_mut().poll(cx));
            replay.reading = None;
            match page {
                Ok(page) => replay.turn_to(page),
                Err(error) => {
                    replay.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

// Nothing in a replay is pinned: a page that is being read has a place of its own.
impl<T, C> Unpin for Replay<T, C> {}

/// An entry as an item.
fn item<T: Send + 'static, C: Codec<T> + 'static>(
    channel: &StreamChannel<T, C>,
    entry: &Entry,
) -> Result<Item<T>, ReadError> {
    let id = entry.id;
    match channel.decode(entry) {
        Ok(value) => Ok(Item { id, value }),
        Err(source) => Err(ReadError::Undecodable { id, source }),
    }
}

/// Reads a page; during an outage it tries again.
async fn patient_page(
    stream: RedisStream,
    start: Bound<EntryId>,
    end: Bound<EntryId>,
) -> Result<Vec<Entry>, Error> {
    let mut outage = RetryLog::new("replay");
    loop {
        match page(&stream, start, end).await {
            Err(error) if error.is_transient() => tokio::time::sleep(outage.failed(&error)).await,
            answer => {
                outage.healed();
                return answer;
            }
        }
    }
}

async fn page(stream: &RedisStream, start: Bound<EntryId>, end: Bound<EntryId>) -> Result<Vec<Entry>, Error> {
    let mut cmd = redis::cmd("XRANGE");
    cmd.arg(stream.key().as_str()).arg(text(start, "-")).arg(text(end, "+")).arg("COUNT").arg(PAGE);
    let answer = stream.redis().command(&cmd).await;
    match answer {
        // No id is behind the last possible one, or before the first.
        Err(error)
            if error.kind() == ErrorKind::Refused && error.message().contains("ID for the interval") =>
        {
            Ok(Vec::new())
        }
        answer => {
            let answer = answer?;
            let unexpected = Error::unexpected("XRANGE", &answer);
            Entry::list(answer).ok_or(unexpected)
        }
    }
}

/// As XRANGE writes it.
fn text(bound: Bound<EntryId>, unbounded: &str) -> String {
    match bound {
        Bound::Included(id) => id.to_string(),
        Bound::Excluded(id) => format!("({id}"),
        Bound::Unbounded => unbounded.to_owned(),
    }
}

/// The id before `id`; the first id for itself, which no entry has.
fn before(id: EntryId) -> EntryId {
    match (id.ms, id.seq) {
        (0, 0) => EntryId::MIN,
        (ms, 0) => EntryId { ms: ms - 1, seq: u64::MAX },
        (ms, seq) => EntryId { ms, seq: seq - 1 },
    }
}
