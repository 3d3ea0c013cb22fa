use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Joins a reply to its request: a UUIDv7 (RFC 9562). The gateway makes it; a caller cannot choose it.
///
/// Written as 36 lower-case characters with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CorrelationId(Uuid);

impl CorrelationId {
    /// Makes a new id: ordered by time, and unique through random bits.
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a UUID.
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }

    /// Writes the 36 characters into `buffer` and returns them, without allocating.
    pub fn encode<'a>(&self, buffer: &'a mut [u8; 36]) -> &'a str {
        self.0.hyphenated().encode_lower(buffer)
    }

    /// Reads an id from the bytes of a field; any UUID in hyphenated form is accepted.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != 36 {
            return None;
        }
        Uuid::try_parse_ascii(bytes).ok().map(Self)
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for CorrelationId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoded_id_equals_the_encoded_one() {
        let id = CorrelationId::mint();

        let mut buffer = [0; 36];
        let text = id.encode(&mut buffer);

        assert_eq!(CorrelationId::from_bytes(text.as_bytes()), Some(id));
        assert_eq!(text, id.to_string());
    }

    #[test]
    fn text_that_is_no_hyphenated_uuid_is_refused() {
        for text in [
            "",
            "1",
            "not-a-uuid",
            "{0191f3a0-0000-7000-8000-000000000000}",
            "0191f3a0000070008000000000000000",
        ] {
            assert_eq!(CorrelationId::from_bytes(text.as_bytes()), None, "{text}");
        }
    }
}
