//! What the service is about: users, tasks, and the events that tell of their changes. Nothing here knows a database,
//! HTTP or Redis.

mod effect;
mod event;
mod task;
mod user;

pub use effect::{Effect, Malformed};
pub use event::{Arrival, CUSTOM_GROUP, NewEvent, STREAMS, StreamKind, is_custom, is_event_type};
pub use task::{Completion, Priority, Task};
pub use user::{Change, Changes, Status, User, UserPatch};

/// Now, in milliseconds since 1970 by the clock of this machine.
pub fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A time in milliseconds since 1970 as RFC 3339 writes it.
pub fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// A new id. Ids grow with time, so a page of users is in the order of their creation.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
