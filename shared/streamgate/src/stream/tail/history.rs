use redis::Value;

use super::place::{Missed, News, Shape};
use super::{if_exists, info};
use crate::connection::{Error, ErrorKind, Redis};
use crate::stream::{Entry, EntryId, StreamKey};

/// Reads the entries after an id page by page, and notices entries that were trimmed before they were read.
///
/// Each page begins with the last entry of the page before. If that entry is still there, nothing after it was
/// trimmed.
pub(crate) struct History {
    redis: Redis,
    key: StreamKey,
    position: EntryId,
    /// The number of entries to ask for.
    count: usize,
}

/// What a page brought; the news come before the entries.
pub(crate) struct Page {
    pub(crate) news: Option<News>,
    pub(crate) entries: Vec<Entry>,
}

const LARGEST_PAGE: usize = 128;

impl History {
    pub(crate) fn after(redis: Redis, key: StreamKey, position: EntryId) -> Self {
        Self { redis, key, position, count: LARGEST_PAGE }
    }

    /// The next page; without entries at the end of the stream.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command. The next call tries the same page again, with
    /// fewer entries, because they may have been too large to arrive in time.
    pub(crate) async fn page(&mut self) -> Result<Page, Error> {
        let page = self.read().await;
        self.count = match &page {
            Ok(_) => (self.count * 2).min(LARGEST_PAGE),
            Err(error) if error.kind() == ErrorKind::Unreachable => (self.count / 2).max(1),
            Err(_) => self.count,
        };
        page
    }

    async fn read(&mut self) -> Result<Page, Error> {
        let mut range = redis::cmd("XRANGE");
        range.arg(self.key.as_str()).arg(self.position.to_string()).arg("+").arg("COUNT").arg(self.count + 1);
        let value = self.redis.admin_command(&range).await?;
        let mut entries = Entry::list(value).ok_or_else(|| Error::unexpected("XRANGE", &Value::Nil))?;
        let continues = entries.first().is_some_and(|entry| entry.id == self.position);
        let mut news = None;
        if continues {
            entries.remove(0);
        } else if self.position > EntryId::MIN {
            let info = if_exists(self.redis.admin_command(&info(self.key.as_str())).await)?;
            news = self.compare(Shape::of(info.as_ref()), entries.first());
            if matches!(news, Some(News::StartedOver)) {
                entries.clear();
            }
        }
        if let Some(last) = entries.last() {
            self.position = last.id;
        }
        Ok(Page { news, entries })
    }

    /// Finds out why the entry at the position is not there; `next` is the entry after it.
    fn compare(&mut self, shape: Shape, next: Option<&Entry>) -> Option<News> {
        let position = self.position;
        if shape.last < position {
            self.position = EntryId::MIN;
            return Some(News::StartedOver);
        }
        let begins_later = shape.first.is_none_or(|first| first > position);
        if !begins_later || !shape.has_lost_entries() {
            return None;
        }
        let next = next.map(|entry| entry.id).or(shape.first).unwrap_or_else(|| shape.last.next());
        self.position = next.previous();
        let missed = Missed { from: position.next(), to: next.previous() };
        (missed.from <= missed.to).then_some(News::Missed(missed))
    }

    /// The last entry that was read, or the id up to which entries were missed.
    pub(crate) fn position(&self) -> EntryId {
        self.position
    }
}
