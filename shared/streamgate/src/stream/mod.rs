//! The toolkit: Redis Streams with what a service needs in production.
//!
//! It knows entries, groups, leases and dead letters; it does not know requests and replies.
//!
//! In reading order:
//!
//! - Names and entries: [`StreamKey`] (`key`), [`Entry`] (`entry`).
//! - The raw door: [`RedisStream`] (`redis_stream`). [`Source`] (`source`) is what readers are made from.
//! - Reading as a member of a group: [`ConsumerGroup`], [`Consumer`], [`Claimer`], [`LeasedEntry`], [`Lease`] (all in
//!   `group`).
//! - Reading every new entry without a group: [`Tail`], [`TailAll`], [`TailReader`] (`tail`). [`ReadAnswer`] (`read_answer`) decodes the
//!   answers to all reads.
//! - Maintenance: [`DeadLetterQueue`] (`dead_letters`), [`Trimmer`] (`trimmer`), [`StreamHealth`], [`Health`] (`health`),
//!   [`Undelivered`] (`undelivered`), [`GroupMetrics`] (`metrics`).
//!
//! `scripts` has the Lua scripts of the steps that must be atomic.

mod dead_letters;
mod entry;
mod group;
mod health;
mod housekeeping;
mod key;
mod metrics;
mod read_answer;
mod redis_stream;
mod source;
mod tail;
mod trimmer;
mod undelivered;

pub use dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQueue, NotReplayable, REPLAY_OF, Replay,
};
pub use entry::{Entry, EntryId};
pub use group::{
    Claimer, Consumer, ConsumerGroup, Delays, Disposition, Group, GroupSettings, InvalidName, LONGEST_DELAY,
    Lease, LeasedEntry, Leases, Start,
};
pub use health::{
    ConsumerHealth, EntrySummary, GroupHealth, Health, Issue, IssueCode, Severity, StreamHealth, Thresholds,
};
pub(crate) use housekeeping::Housekeeping;
pub use housekeeping::HousekeepingSettings;
pub use key::{InvalidStreamKey, StreamKey};
pub use metrics::GroupMetrics;
pub use read_answer::ReadAnswer;
pub use redis_stream::{
    AppendError, AppendOptions, BatchError, Cap, Claimed, CreateGroupError, Entries, IdleClaims,
    PendingEntry, PendingQuery, PendingSummary, RedisStream, StreamInfo, Trim, append_to,
};
pub use source::{Item, ReadError, Source};
pub(crate) use tail::{Begin, Findings, History, News, StreamsReader};
pub use tail::{InvalidStreams, Tail, TailAll, TailReader};
pub use trimmer::{Retention, Trimmed, Trimmer};
pub use undelivered::Undelivered;
