use std::ops::{Bound, RangeBounds};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::vec;

use futures_util::Stream;
use futures_util::future::BoxFuture;
use redis::Value;

use super::RedisStream;
use crate::connection::{Error, Redis, RetryLog};
use crate::stream::{Entry, EntryId, Item, ReadError, Source, StreamKey};

/// The entries of a range, in order, page by page. It ends when it has caught up: when a page finds no further entry.
///
/// Every entry that is on the stream during the whole read comes once. An entry that cannot be decoded is an item
/// [`ReadError::Undecodable`], and the next item is the next entry. While Redis cannot be reached, it waits and tries
/// again; if Redis refuses to read, the last item is [`ReadError::Redis`]. One page is held at a time: about 1 MB,
/// at least one entry.
///
/// It is a [`futures_util::Stream`]; [`Entries::next`] needs no import.
///
/// ```no_run
/// # use streamgate::stream::{EntryId, ReadError, RedisStream};
/// # async fn example(orders: RedisStream) -> Result<(), ReadError> {
/// let mut newest = orders.rev_range(..);
/// if let Some(entry) = newest.next().await {
///     println!("the newest entry is {}", entry?.id);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Entries<S: Source = RedisStream> {
    source: S,
    /// What is left of the range.
    left: Left,
    /// The rest of the last page.
    page: vec::IntoIter<Entry>,
    /// Entries in the next page.
    count: usize,
    reading: Option<BoxFuture<'static, Result<Vec<Entry>, Error>>>,
}

#[derive(Debug, Clone, Copy)]
struct Left {
    start: Bound<EntryId>,
    end: Bound<EntryId>,
    /// From the newest to the oldest.
    reverse: bool,
    ended: bool,
}

/// Entries in the first page: enough to estimate their size.
const FIRST_PAGE: usize = 16;

/// The most entries in one page.
const LARGEST_PAGE: usize = 1_000;

/// About the bytes of one page, because entries may be large.
const PAGE_BYTES: usize = 1 << 20;

impl RedisStream {
    /// The entries with these ids, from the oldest to the newest: `EntryId::MIN..` for all.
    pub fn range(&self, ids: impl RangeBounds<EntryId>) -> Entries {
        Entries::of(self.clone(), ids, false)
    }

    /// The entries with these ids, from the newest to the oldest.
    pub fn rev_range(&self, ids: impl RangeBounds<EntryId>) -> Entries {
        Entries::of(self.clone(), ids, true)
    }

    /// The entry `id`; `None` if it does not exist, or no longer exists.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn get(&self, id: EntryId) -> Result<Option<Entry>, Error> {
        let left =
            Left { start: Bound::Included(id), end: Bound::Included(id), reverse: false, ended: false };
        Ok(page(&self.redis, &self.key, left, 1).await?.pop())
    }
}

impl<S: Source> Entries<S> {
    pub(crate) fn of(source: S, ids: impl RangeBounds<EntryId>, reverse: bool) -> Self {
        let (start, end) = (ids.start_bound().cloned(), ids.end_bound().cloned());
        let left = Left { start, end, reverse, ended: is_empty(start, end) };
        Self { source, left, page: Vec::new().into_iter(), count: FIRST_PAGE, reading: None }
    }

    /// The next entry; `None` when it has caught up.
    pub async fn next(&mut self) -> Option<Result<Item<S::Value>, ReadError>> {
        futures_util::StreamExt::next(self).await
    }

    /// Reads the first page now, so that a range that cannot be read is an error at once.
    pub(crate) async fn read_first_page(&mut self) -> Result<(), Error> {
        if !self.left.ended {
            let first = page(self.source.redis(), self.source.key(), self.left, self.count).await?;
            self.turn_to(first);
        }
        Ok(())
    }

    /// What the entries are read from.
    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// The id up to which entries of a forward range were given out. What was read and not given out comes after it.
    pub(crate) fn given_to(&self) -> EntryId {
        match (self.page.as_slice().first(), self.left.start) {
            (Some(next), _) => next.id.previous(),
            (None, Bound::Included(id)) => id.previous(),
            (None, Bound::Excluded(id)) => id,
            (None, Bound::Unbounded) => EntryId::MIN,
        }
    }

    fn turn_to(&mut self, page: Vec<Entry>) {
        let left = &mut self.left;
        left.ended = page.len() < self.count;
        if let Some(last) = page.last() {
            let (from, to) = match left.reverse {
                true => (&mut left.end, left.start),
                false => (&mut left.start, left.end),
            };
            *from = Bound::Excluded(last.id);
            left.ended |= match left.reverse {
                true => is_empty(to, Bound::Excluded(last.id)),
                false => is_empty(Bound::Excluded(last.id), to),
            };
            let bytes: usize = page.iter().map(|entry| entry.fields.size()).sum();
            self.count = (PAGE_BYTES / (bytes / page.len()).max(1)).clamp(1, LARGEST_PAGE);
        }
        self.page = page.into_iter();
    }

    fn item(&self, entry: &Entry) -> Result<Item<S::Value>, ReadError> {
        match self.source.decode(entry) {
            Ok(value) => Ok(Item { id: entry.id, value }),
            Err(source) => Err(ReadError::Undecodable { id: entry.id, source }),
        }
    }
}

impl<S: Source> Stream for Entries<S> {
    type Item = Result<Item<S::Value>, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entries = self.get_mut();
        loop {
            if let Some(entry) = entries.page.next() {
                return Poll::Ready(Some(entries.item(&entry)));
            }
            if entries.left.ended {
                return Poll::Ready(None);
            }
            let (source, left, count) = (&entries.source, entries.left, entries.count);
            let reading = entries.reading.get_or_insert_with(|| {
                Box::pin(patient_page(source.redis().clone(), source.key().clone(), left, count))
            });
            let page = ready!(reading.as_mut().poll(cx));
            entries.reading = None;
            match page {
                Ok(page) => entries.turn_to(page),
                Err(error) => {
                    entries.left.ended = true;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
    }
}

// Nothing in it is pinned: the page that is being read has a place of its own.
impl<S: Source> Unpin for Entries<S> {}

/// True if no id can be between these bounds. Redis refuses some of these ranges.
fn is_empty(start: Bound<EntryId>, end: Bound<EntryId>) -> bool {
    const LAST: EntryId = EntryId { ms: u64::MAX, seq: u64::MAX };
    match (start, end) {
        (Bound::Excluded(LAST), _) | (_, Bound::Excluded(EntryId::MIN)) => true,
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Excluded(start), Bound::Excluded(end)) => start.next() >= end,
        (Bound::Included(start), Bound::Excluded(end)) | (Bound::Excluded(start), Bound::Included(end)) => {
            start >= end
        }
        _ => false,
    }
}

/// Reads a page; during an outage it tries again.
async fn patient_page(redis: Redis, key: StreamKey, left: Left, count: usize) -> Result<Vec<Entry>, Error> {
    let mut outage = RetryLog::new("range");
    loop {
        match page(&redis, &key, left, count).await {
            Err(error) if error.is_about_the_connection() => tokio::time::sleep(outage.failed(&error)).await,
            answer => {
                outage.healed();
                return answer;
            }
        }
    }
}

async fn page(redis: &Redis, key: &StreamKey, left: Left, count: usize) -> Result<Vec<Entry>, Error> {
    let name = if left.reverse { "XREVRANGE" } else { "XRANGE" };
    let (start, end) = (text(left.start, "-"), text(left.end, "+"));
    let mut cmd = redis::cmd(name);
    cmd.arg(key.as_str());
    match left.reverse {
        true => cmd.arg(end).arg(start),
        false => cmd.arg(start).arg(end),
    };
    cmd.arg("COUNT").arg(count);
    let answer = redis.admin_command(&cmd).await?;
    Entry::list(answer).ok_or_else(|| Error::unexpected(name, &Value::Nil))
}

/// As XRANGE writes it.
pub(super) fn text(bound: Bound<EntryId>, unbounded: &str) -> String {
    match bound {
        Bound::Included(id) => id.to_string(),
        Bound::Excluded(id) => format!("({id}"),
        Bound::Unbounded => unbounded.to_owned(),
    }
}
