use std::collections::HashSet;

use crate::fields::Fields;
use crate::stream::EntryId;
use crate::stream::entry::Entry;

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its id on the dead-letter stream. Its time is when the entry was given up.
    pub id: EntryId,
    /// Why the entry was given up: the first line of the text that was given as the reason.
    pub reason: String,
    /// The other lines of that text, such as the chain of errors; empty without them.
    pub detail: String,
    /// How often the entry was delivered.
    pub attempts: u32,
    /// The original stream. Empty in letters of a version that did not write it.
    pub stream: String,
    /// The entry's id on the original stream.
    pub origin_id: Option<EntryId>,
    /// The group that gave it up.
    pub group: String,
    /// The consumer that gave it up.
    pub consumer: String,
    /// How many of the original fields were not kept, because the entry had too many.
    pub left_out: u64,
    /// The original fields.
    pub fields: Fields,
}

const REASON: &str = "dlq_reason";
const DETAIL: &str = "dlq_detail";
const ATTEMPTS: &str = "dlq_attempts";
const STREAM: &str = "dlq_stream";
const ORIGIN_ID: &str = "dlq_origin_id";
const GROUP: &str = "dlq_group";
const CONSUMER: &str = "dlq_consumer";

/// The field that counts the original fields that were not kept.
pub(super) const LEFT_OUT: &str = "dlq_fields_left_out";

/// The fields that dead letters start with. One whose reason has one line has no detail.
pub(super) const OWN_FIELDS: [&str; 7] = [REASON, ATTEMPTS, ORIGIN_ID, GROUP, CONSUMER, STREAM, DETAIL];

/// The field in which a replayed entry names its dead letter.
pub const REPLAY_OF: &str = "replay_of";

impl DeadLetter {
    /// True if `name` is one of a dead letter's own fields.
    fn is_own(name: &[u8]) -> bool {
        OWN_FIELDS.iter().chain([&LEFT_OUT]).any(|own| name == own.as_bytes())
    }
}

impl From<Entry> for DeadLetter {
    /// A letter's own fields come first, each once. All fields after them are original fields, even if one has the
    /// name of an own field.
    fn from(entry: Entry) -> Self {
        let mut seen = HashSet::new();
        let own =
            entry.fields.iter().take_while(|(name, _)| Self::is_own(name) && seen.insert(*name)).count();
        let (own, fields) = entry.fields.split_at(own);
        let text = |name| own.get(name).map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default();
        Self {
            id: entry.id,
            reason: text(REASON),
            detail: text(DETAIL),
            attempts: text(ATTEMPTS).parse().unwrap_or(0),
            stream: text(STREAM),
            origin_id: text(ORIGIN_ID).parse().ok(),
            group: text(GROUP),
            consumer: text(CONSUMER),
            left_out: text(LEFT_OUT).parse().unwrap_or(0),
            fields,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn original_fields_may_have_the_names_of_a_letters_own() {
        let fields = Fields::from_iter([
            ("dlq_reason", "because"),
            ("dlq_attempts", "2"),
            ("dlq_fields_left_out", "7"),
            ("dlq_reason", "original"),
            ("dlq_consumer", "original"),
            ("body", "x"),
        ]);

        let letter = DeadLetter::from(Entry { id: EntryId::MIN, fields });

        assert_eq!((letter.reason.as_str(), letter.attempts, letter.left_out), ("because", 2, 7));
        assert_eq!(letter.consumer, "");
        let original = [("dlq_reason", "original"), ("dlq_consumer", "original"), ("body", "x")];
        assert_eq!(letter.fields, Fields::from_iter(original));
    }
}
