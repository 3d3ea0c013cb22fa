use std::collections::VecDeque;

use redis::{Cmd, Value};

use super::{Begin, PAST_THE_END, if_exists, info};
use crate::connection::{Error, ErrorKind, checked};
use crate::stream::entry::field;
use crate::stream::{Entry, EntryId, Start, StreamKey};

/// The position of a reader in one stream.
///
/// After a failover or a restart of the server, the last entries that were read may be missing, and entries with
/// smaller ids may follow. Therefore it remembers the last ids: reading goes on after the newest of them that the
/// server still has, so that no entry is left out and none is given twice.
pub(super) struct Place {
    pub(super) key: StreamKey,
    from: Begin,
    /// The last entry read; `None` before the first check.
    cursor: Option<EntryId>,
    /// The last ids that were read, the newest at the end.
    recent: VecDeque<EntryId>,
    /// The number of entries ever added to the stream, up to the cursor, if known.
    added: Option<u64>,
    /// True while the server refuses to read this stream.
    pub(super) faulty: bool,
}

/// What a reader learns about a stream beside its entries.
#[derive(Debug)]
pub(crate) enum News {
    /// The entries that follow do not continue those before: the stream was deleted, or another server has it.
    StartedOver,
    /// Entries may have been removed before they were read.
    Missed(Missed),
    /// Redis refuses to read the stream. The reader tries again.
    Fault(Error),
}

/// Ids of entries that were not given, both ends included. Some of the ids may never have existed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Missed {
    pub(crate) from: EntryId,
    pub(crate) to: EntryId,
}

/// How many of the last ids are remembered. A failover rarely loses more than the entries of some milliseconds; if it
/// loses more, the stream is read from its beginning.
const REMEMBERED: usize = 64;

/// What XINFO STREAM says.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Shape {
    /// The first entry.
    pub(super) first: Option<EntryId>,
    /// The last entry.
    newest: Option<EntryId>,
    /// The last id ever added.
    pub(super) last: EntryId,
    length: u64,
    added: u64,
}

impl Shape {
    /// Reads the answers to [`Place::check`].
    fn read(info: Value, readable: Value) -> Result<Self, Error> {
        let info = if_exists(checked(info));
        checked(readable)?;
        Ok(Self::of(info?.as_ref()))
    }

    /// Reads the answer to XINFO STREAM; `None` is the answer if there is no stream.
    pub(super) fn of(info: Option<&Value>) -> Self {
        let Some(info) = info else { return Self::default() };
        let number = |name| field(info, name).and_then(|v| redis::from_redis_value_ref::<u64>(v).ok());
        let id_of = |name| match field(info, name) {
            Some(Value::Array(entry)) => entry.first().and_then(EntryId::from_value),
            _ => None,
        };
        Self {
            first: id_of("first-entry"),
            newest: id_of("last-entry"),
            last: field(info, "last-generated-id").and_then(EntryId::from_value).unwrap_or_default(),
            length: number("length").unwrap_or(0),
            added: number("entries-added").unwrap_or(0),
        }
    }

    /// The last id, if all entries have been removed.
    fn last_of_empty(self) -> Option<EntryId> {
        (self.length == 0).then_some(self.last)
    }

    /// True if an entry was ever removed.
    pub(super) fn has_lost_entries(self) -> bool {
        self.added != self.length
    }
}

impl Place {
    pub(super) fn new(key: StreamKey, from: Begin) -> Self {
        let cursor = match from {
            Begin::Start(Start::Beginning) => Some(EntryId::MIN),
            Begin::Start(Start::After(id)) => Some(id),
            Begin::Start(Start::End) | Begin::LastEntry => None,
        };
        Self { key, from, cursor, recent: cursor.into_iter().collect(), added: None, faulty: false }
    }

    pub(super) fn position(&self) -> EntryId {
        self.cursor.unwrap_or_default()
    }

    pub(super) fn has_begun(&self) -> bool {
        self.cursor.is_some()
    }

    /// The commands that check the stream: its shape, and whether it can be read.
    pub(super) fn check(&self) -> [Cmd; 2] {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(1).arg("STREAMS").arg(self.key.as_str()).arg(PAST_THE_END.to_string());
        [info(self.key.as_str()), read]
    }

    /// Takes the answers to [`Place::check`].
    ///
    /// # Errors
    /// Redis refuses to read this stream, which is then marked as faulty; or the node or the connection caused the
    /// error.
    pub(super) fn checked(&mut self, answers: [Value; 2]) -> Result<Shape, Error> {
        let [info, readable] = answers;
        let shape = Shape::read(info, readable);
        self.faulty = shape.as_ref().is_err_and(|error| {
            matches!(error.kind(), ErrorKind::Refused | ErrorKind::WrongType | ErrorKind::NotPermitted)
        });
        shape
    }

    /// True if the stream does not continue what was read, as far as its shape shows.
    pub(super) fn is_in_doubt(&self, shape: Shape, moved: bool) -> bool {
        self.cursor.is_some_and(|cursor| shape.last < cursor || (moved && cursor > EntryId::MIN))
    }

    /// The commands that look for the last ids, the newest first.
    pub(super) fn look_for_recent(&self) -> Vec<Cmd> {
        let look = |id: &EntryId| {
            let mut cmd = redis::cmd("XRANGE");
            let id = id.to_string();
            cmd.arg(self.key.as_str()).arg(&id).arg(&id).arg("COUNT").arg(1);
            cmd
        };
        self.recent.iter().rev().map(look).collect()
    }

    /// Takes the answers to [`Place::look_for_recent`] and goes on after the newest entry that is still there.
    pub(super) fn resume(&mut self, shape: Shape, answers: Vec<Value>) -> Result<Option<News>, Error> {
        self.added = None;
        let mut common = None;
        for (back, answer) in answers.into_iter().enumerate() {
            match checked(answer)? {
                Value::Array(entries) if !entries.is_empty() => {
                    common = Some(self.recent.len() - back);
                    break;
                }
                _ => {}
            }
        }
        let cursor = self.position();
        if common == Some(self.recent.len()) && shape.last >= cursor {
            return Ok(None);
        }
        // Every entry there is newer, so none of them was read.
        let all_are_newer = shape.first.or(shape.last_of_empty()).is_some_and(|first| first >= cursor);
        if common.is_none() && all_are_newer {
            return Ok(None);
        }
        self.recent.truncate(common.unwrap_or(0));
        let goes_on_after = self.recent.back().copied().unwrap_or(EntryId::MIN);
        tracing::warn!(
            stream = %self.key, %cursor, end = %shape.last, %goes_on_after,
            "the stream does not continue what was read before"
        );
        self.cursor = Some(goes_on_after);
        Ok(Some(News::StartedOver))
    }

    /// Compares the position with the shape of the stream: finds the place to begin at the first time, and later
    /// finds entries that were removed before they were read.
    pub(super) fn settle(&mut self, shape: Shape) -> Option<News> {
        let Some(cursor) = self.cursor else {
            self.cursor = Some(match (self.from, shape.newest) {
                (Begin::LastEntry, Some(newest)) => newest.previous(),
                _ => shape.last,
            });
            self.recent.extend(self.cursor);
            self.added = self.is_at_end(shape).then_some(shape.added);
            return None;
        };
        let next = shape.first.unwrap_or_else(|| shape.last.next());
        let unread = self.added.and_then(|added| shape.added.checked_sub(added));
        let all_are_there = unread.is_some_and(|unread| unread <= shape.length);
        let missed = cursor > EntryId::MIN
            && shape.last > cursor
            && next > cursor.next()
            && shape.has_lost_entries()
            && !all_are_there;
        if shape.length == 0 && shape.last > cursor {
            self.cursor = Some(shape.last);
        }
        if self.is_at_end(shape) {
            self.added = Some(shape.added);
        }
        missed.then(|| News::Missed(Missed { from: cursor.next(), to: next.previous() }))
    }

    pub(super) fn is_at_end(&self, shape: Shape) -> bool {
        self.cursor.is_some_and(|cursor| cursor >= shape.last)
    }

    /// Moves behind entries that were read.
    pub(super) fn advance(&mut self, entries: &[Entry]) {
        let Some(last) = entries.last() else { return };
        self.cursor = Some(last.id);
        self.added = self.added.map(|added| added + entries.len() as u64);
        let newest = &entries[entries.len().saturating_sub(REMEMBERED)..];
        let too_many = (self.recent.len() + newest.len()).saturating_sub(REMEMBERED);
        self.recent.drain(..too_many);
        self.recent.extend(newest.iter().map(|entry| entry.id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::Fields;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, seq: 0 }
    }

    /// A stream whose entries were added one per millisecond from 1 to `last`, and of which `first` and later stay.
    fn shape(first: u64, last: u64) -> Shape {
        let length = (last + 1).saturating_sub(first);
        let of = |at| (length > 0).then_some(id(at));
        Shape { first: of(first), newest: of(last), last: id(last), length, added: last }
    }

    /// A place at entry `cursor`, which has read the entries before it.
    fn place(cursor: u64) -> Place {
        let mut place = Place::new("s".parse().expect("a name"), Begin::Start(Start::Beginning));
        let entry = |ms| Entry { id: id(ms), fields: Fields::default() };
        place.advance(&(1..=cursor).map(entry).collect::<Vec<_>>());
        place
    }

    fn answers(place: &Place, there: impl Fn(EntryId) -> bool) -> Vec<Value> {
        let answer = |id: &EntryId| Value::Array(if there(*id) { vec![Value::Nil] } else { Vec::new() });
        place.recent.iter().rev().map(answer).collect()
    }

    #[test]
    fn only_the_last_ids_are_remembered() {
        let place = place(1_000);

        assert_eq!((place.recent.len(), place.recent.back()), (REMEMBERED, Some(&id(1_000))));
    }

    #[test]
    fn a_restarted_server_with_all_entries_goes_on_silently() {
        let mut place = place(100);

        assert!(place.is_in_doubt(shape(1, 105), true));
        let answers = answers(&place, |_| true);
        assert!(place.resume(shape(1, 105), answers).expect("answers").is_none());

        assert_eq!(place.position(), id(100));
    }

    #[test]
    fn a_server_that_lost_entries_is_read_after_the_last_common_one() {
        let mut place = place(100);

        let answers = answers(&place, |at| at <= id(97));
        let news = place.resume(shape(1, 99), answers).expect("answers");

        assert!(matches!(news, Some(News::StartedOver)), "{news:?}");
        assert_eq!(place.position(), id(97));
    }

    #[test]
    fn a_stream_without_a_common_entry_is_read_from_its_beginning() {
        let mut place = place(100);

        let answers = answers(&place, |_| false);
        let news = place.resume(shape(3, 200), answers).expect("answers");

        assert!(matches!(news, Some(News::StartedOver)), "{news:?}");
        assert_eq!(place.position(), EntryId::MIN);
    }

    #[test]
    fn entries_trimmed_before_they_were_read_are_reported() {
        let missed = |mut place: Place, shape| match place.settle(shape) {
            Some(News::Missed(Missed { from, to })) => Some((from, to)),
            _ => None,
        };

        assert_eq!(missed(place(10), shape(20, 30)), Some((id(10).next(), id(20).previous())));
        assert_eq!(missed(place(10), shape(31, 30)), Some((id(10).next(), id(30))), "all were trimmed");
        assert_eq!(missed(place(10), shape(5, 30)), None, "its own entry is still there");
        assert_eq!(missed(place(10), shape(11, 10)), None, "nothing was added");
        assert_eq!(missed(place(0), shape(20, 30)), None, "it asked for what is there");
    }

    #[test]
    fn a_trimmed_entry_that_was_read_is_not_missed() {
        let mut place = place(10);
        assert!(place.settle(shape(1, 10)).is_none());

        let news = place.settle(shape(11, 12));

        assert!(news.is_none(), "11 and 12 are still there: {news:?}");
    }
}
