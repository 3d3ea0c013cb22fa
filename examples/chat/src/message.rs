//! The message that is stored: one entry of the stream is one message.

use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use streamgate::stream::EntryId;

use crate::form::{Form, Rule};
use crate::problem::Refusal;

/// A message as it is on the stream, in JSON. Its id and its time are those of the entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) room: String,
    pub(crate) user_id: String,
    pub(crate) user_name: String,
    pub(crate) user_role: Role,
    pub(crate) content: String,
}

/// Whose message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Customer,
    Admin,
}

impl Role {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let role = [Self::Customer, Self::Admin].into_iter().find(|role| role.as_str() == text);
        role.ok_or("must be customer or admin")
    }
}

/// The largest content, in bytes.
pub(crate) const LARGEST_CONTENT: usize = 16 << 10;

pub(crate) const USER_ID: Rule = Rule { most_characters: 64, ..Rule::LINE };
pub(crate) const USER_NAME: Rule = Rule { most_characters: 100, ..Rule::LINE };
const CONTENT: Rule = Rule { most_bytes: LARGEST_CONTENT, lines: true, ..Rule::LINE };
/// A room is a word, so that it looks the same in every address.
pub(crate) const ROOM: Rule = Rule { most_characters: 64, word: true, ..Rule::LINE };

/// The room of a request that names none.
pub(crate) const GENERAL: &str = "general";

impl Message {
    /// Reads the body of `POST /api/chat/send`.
    pub(crate) fn of(mut form: Form, room: Option<&str>) -> Result<Self, Refusal> {
        let message = Self {
            room: form.check("room", Some(room.unwrap_or(GENERAL)), ROOM),
            user_id: form.text("userId", USER_ID),
            user_name: form.text("userName", USER_NAME),
            user_role: form.role("userRole"),
            content: form.text("content", CONTENT),
        };
        form.finish().map(|()| message)
    }
}

/// When Redis stored an entry.
pub(crate) fn time_of(id: EntryId) -> String {
    let time = i64::try_from(id.ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_whatever_the_id() {
        let time = |ms| time_of(EntryId { ms, seq: 1 });

        assert_eq!(time(1_762_207_200_007), "2025-11-03T22:00:00.007Z");
        assert_eq!(time(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(time(u64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
