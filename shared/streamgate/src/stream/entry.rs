use std::fmt;
use std::str::FromStr;

use redis::Value;

use crate::codec::{Codec, CodecError};
use crate::fields::{Fields, number};

/// An entry's id: a time of the server's clock in milliseconds, and a sequence number within the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct EntryId {
    /// Unix milliseconds in the server's clock, when the server chose the id.
    pub ms: u64,
    /// Position within the millisecond.
    pub seq: u64,
}

impl EntryId {
    /// The id before every entry.
    pub const MIN: Self = Self { ms: 0, seq: 0 };

    /// The id after this one.
    pub fn next(self) -> Self {
        match self.seq.checked_add(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None => Self { ms: self.ms + 1, seq: 0 },
        }
    }

    /// The id before this one; [`EntryId::MIN`] has none and stays.
    pub fn previous(self) -> Self {
        match self.seq.checked_sub(1) {
            Some(seq) => Self { ms: self.ms, seq },
            None if self.ms == 0 => Self::MIN,
            None => Self { ms: self.ms - 1, seq: u64::MAX },
        }
    }

    /// Reads an id from the bytes of a reply.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let dash = bytes.iter().position(|b| *b == b'-')?;
        Some(Self { ms: number(&bytes[..dash])?, seq: number(&bytes[dash + 1..])? })
    }

    /// Calls `put` with its text.
    pub(crate) fn encode<T>(self, put: impl FnOnce(&[u8]) -> T) -> T {
        // Two numbers of up to 20 digits, and a hyphen.
        let mut text = [0; 41];
        let mut number = itoa::Buffer::new();
        let mut length = 0;
        let mut append = |part: &[u8]| {
            text[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        };
        append(number.format(self.ms).as_bytes());
        append(b"-");
        append(number.format(self.seq).as_bytes());
        put(&text[..length])
    }

    pub(crate) fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::BulkString(bytes) => Self::from_bytes(bytes),
            Value::SimpleString(text) => Self::from_bytes(text.as_bytes()),
            _ => None,
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl FromStr for EntryId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes()).ok_or("must be an entry id such as 1763683200000-0")
    }
}

/// The field with the media type of the body.
const CONTENT_TYPE: &str = "content_type";

/// The field with an encoded value.
const BODY: &str = "body";

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// Its fields. An entry that was deleted while pending has none.
    pub fields: Fields,
}

impl Entry {
    /// The value in the field `body`, as a [`StreamChannel`](crate::channel::StreamChannel) writes it.
    ///
    /// # Errors
    /// There is no body, it is not in this format, or the field `content_type` names another format. An entry without
    /// that field is taken to be in this format.
    pub fn decode<T>(&self, codec: &impl Codec<T>) -> Result<T, CodecError> {
        let [content_type, body] = self.fields.pick([CONTENT_TYPE, BODY]);
        if let Some(found) = content_type.filter(|found| *found != codec.content_type().as_bytes()) {
            check_content_type(found, codec)?;
        }
        codec.decode(body.ok_or(CodecError::NoBody)?)
    }

    /// The fields of an entry with this value: `content_type` and `body`.
    pub(crate) fn fields_of<T>(value: &T, codec: &impl Codec<T>) -> Result<Fields, CodecError> {
        let body = codec.encode(value)?;
        Ok(Fields::from_iter([(CONTENT_TYPE, codec.content_type().as_bytes()), (BODY, &body)]))
    }

    /// Reads `[id, [name, value, …]]`.
    pub(crate) fn from_value(value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let [id, fields] = <[Value; 2]>::try_from(parts).ok()?;
        Some(Self { id: EntryId::from_value(&id)?, fields: fields_from(fields)? })
    }

    /// Reads a list of entries.
    pub(crate) fn list(value: Value) -> Option<Vec<Self>> {
        match value {
            Value::Nil => Some(Vec::new()),
            Value::Array(entries) => entries.into_iter().map(Self::from_value).collect(),
            _ => None,
        }
    }
}

/// Refuses a format that `codec` does not read. Media types have no case, and a parameter such as `charset` may follow
/// (RFC 9110, section 8.3.1).
fn check_content_type<T>(found: &[u8], codec: &impl Codec<T>) -> Result<(), CodecError> {
    let found = String::from_utf8_lossy(found);
    let essence = found.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if codec.reads(&essence) {
        return Ok(());
    }
    Err(CodecError::ContentType { found: found.chars().take(100).collect(), expected: codec.content_type() })
}

/// Reads `[name, value, …]`; a nil in place of the list (a deleted entry) is no fields.
pub(crate) fn fields_from(value: Value) -> Option<Fields> {
    let items = match value {
        Value::Nil => return Some(Fields::default()),
        Value::Array(items) => items,
        _ => return None,
    };
    let (pairs, _) = items.as_chunks::<2>();
    pairs.iter().map(|[name, value]| Some((bytes_from(name)?, bytes_from(value)?))).collect()
}

/// A named field of a flat `[name, value, …]` answer or a map.
pub(super) fn field<'a>(info: &'a Value, name: &str) -> Option<&'a Value> {
    info.as_map_iter()?
        .find(|(key, _)| matches!(key, Value::BulkString(key) if key == name.as_bytes()))
        .map(|(_, v)| v)
}

fn bytes_from(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_order_by_time_then_sequence() {
        let id = |text: &str| text.parse::<EntryId>().expect("valid");

        assert!(id("9-9") < id("10-0") && id("10-0") < id("10-1"));
        assert_eq!(id("7-3").to_string(), "7-3");
        assert_eq!(id(&format!("7-{}", u64::MAX)).next(), id("8-0"));
        for one in [id("0-1"), id("7-0"), id("7-3")] {
            assert_eq!(one.previous().next(), one);
        }
    }

    #[test]
    fn an_id_is_encoded_as_it_is_displayed() {
        for id in
            [EntryId::MIN, EntryId { ms: 1_763_683_200_000, seq: 7 }, EntryId { ms: u64::MAX, seq: u64::MAX }]
        {
            assert_eq!(id.encode(<[u8]>::to_vec), id.to_string().into_bytes());
        }
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in ["", "-", "1", "1-", "-1", "a-0", "1-+2", "99999999999999999999-0"] {
            assert!(text.parse::<EntryId>().is_err(), "{text}");
        }
    }
}
