use redis::Value;

use super::{DeadLetter, DeadLetterQueue};
use crate::connection::Error;
use crate::stream::EntryId;
use crate::stream::entry::Entry;

/// Selects the dead letters that meet every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// The reason contains this text; upper and lower case count as equal.
    pub reason: Option<String>,
    /// This consumer gave it up.
    pub consumer: Option<String>,
    /// An original field has this name and this value; in the value, upper and lower case of ASCII letters count as
    /// equal.
    pub field: Option<(String, String)>,
    /// Given up in this millisecond of the server's clock or later.
    pub since_ms: Option<u64>,
    /// Given up in this millisecond of the server's clock or before.
    pub until_ms: Option<u64>,
}

/// Some dead letters, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The dead letters that match.
    pub letters: Vec<DeadLetter>,
    /// The argument `before` for the next page. `None` on the last page.
    pub next: Option<EntryId>,
}

/// The most entries that one page reads: an entry that does not match costs as much as one that does.
const MOST_SCANNED: usize = 2_000;

/// Bytes of fields after which a page is full, because bodies may be large.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Entries in the first read of a page: enough to estimate their size.
const FIRST_READ: usize = 4;

/// The most entries in one read.
const LARGEST_READ: usize = 256;

impl DeadLetterQueue {
    /// Finds up to `count` dead letters that match `filter`, the newest first, starting below `before`
    /// (`None`: from the newest). A page reads at most 2,000 letters or 16 MiB, so
    /// it may be short, or even empty, and still have a `next`.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn search(
        &self,
        filter: &DeadLetterFilter,
        before: Option<EntryId>,
        count: usize,
    ) -> Result<DeadLetterPage, Error> {
        let mut page = DeadLetterPage { letters: Vec::new(), next: None };
        let (mut before, mut scanned, mut bytes, mut read) = (before, 0, 0, FIRST_READ);
        loop {
            let Some(range) = filter.range(before) else { return Ok(page) };
            if !filter.selects_by_content() {
                // One entry more shows whether there is a next page.
                read = read.min(count.saturating_sub(page.letters.len()) + 1);
            }
            let entries = self.newest(&range, read).await?;
            let exhausted = entries.len() < read;
            for entry in entries {
                if page.letters.len() >= count || scanned >= MOST_SCANNED || bytes >= MOST_BYTES {
                    page.next = before;
                    return Ok(page);
                }
                before = Some(entry.id);
                scanned += 1;
                bytes += entry.fields.size();
                let letter = DeadLetter::from(entry);
                if filter.matches(&letter) {
                    page.letters.push(letter);
                }
            }
            if exhausted {
                return Ok(page);
            }
            let usual_size = (bytes / scanned).max(1);
            read = (MOST_BYTES.saturating_sub(bytes) / usual_size).clamp(1, LARGEST_READ);
        }
    }

    /// The dead letter `id`; `None` if it does not exist, or no longer exists.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn get(&self, id: EntryId) -> Result<Option<DeadLetter>, Error> {
        let only = Range { newest: id.to_string(), oldest: id.to_string() };
        Ok(self.newest(&only, 1).await?.pop().map(DeadLetter::from))
    }

    async fn newest(&self, range: &Range, count: usize) -> Result<Vec<Entry>, Error> {
        let mut cmd = redis::cmd("XREVRANGE");
        cmd.arg(self.key.as_str()).arg(&range.newest).arg(&range.oldest).arg("COUNT").arg(count);
        let value = self.redis.admin_command(&cmd).await?;
        Entry::list(value).ok_or_else(|| Error::unexpected("XREVRANGE", &Value::Nil))
    }
}

/// The ids at both ends of a range, in the format of XREVRANGE.
struct Range {
    newest: String,
    oldest: String,
}

impl DeadLetterFilter {
    /// The range given by `since_ms`, `until_ms` and `before`; `None` if it is empty.
    fn range(&self, before: Option<EntryId>) -> Option<Range> {
        let newest = match (before, self.until_ms) {
            // No id is below it, and Redis refuses such a range.
            (Some(EntryId::MIN), _) => return None,
            (Some(id), Some(until)) if until < id.ms => until.to_string(),
            (Some(id), _) => format!("({id}"),
            (None, Some(until)) => until.to_string(),
            (None, None) => "+".to_owned(),
        };
        let oldest = self.since_ms.map_or_else(|| "-".to_owned(), |since| since.to_string());
        Some(Range { newest, oldest })
    }

    /// True if only the content of a letter shows whether it matches.
    fn selects_by_content(&self) -> bool {
        self.reason.is_some() || self.consumer.is_some() || self.field.is_some()
    }

    fn matches(&self, letter: &DeadLetter) -> bool {
        let reason = |wanted: &String| letter.reason.to_lowercase().contains(&wanted.to_lowercase());
        let field = |(name, value): &(String, String)| {
            letter.fields.get(name).is_some_and(|found| found.eq_ignore_ascii_case(value.as_bytes()))
        };
        self.reason.as_ref().is_none_or(reason)
            && self.consumer.as_ref().is_none_or(|wanted| letter.consumer == *wanted)
            && self.field.as_ref().is_none_or(field)
    }
}
