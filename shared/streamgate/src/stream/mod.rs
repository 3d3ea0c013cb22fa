//! The toolkit: Redis Streams with the care they need in production.
//!
//! It knows entries, groups, leases and dead letters; it knows nothing of requests and replies.
//!
//! Writing: [`Producer`]. Reading as one of a group: [`ConsumerGroup`] makes [`Consumer`]s, which
//! hand out [`Delivery`]s, each under a [`Lease`]; [`Claimer`] takes over what others let idle;
//! [`Disposition`] says what became of a delivery. Reading everything from now on:
//! [`TailReader`]. Keeping house: [`DeadLetterQueue`], [`Trimmer`],
//! [`StreamHealth`], [`Undelivered`].

mod claimer;
mod consumer;
mod dead_letters;
mod delivery;
mod entry;
mod group;
mod health;
mod key;
mod lease;
mod metrics;
mod producer;
mod read_answer;
mod tail;
mod trimmer;
mod undelivered;

pub use claimer::Claimer;
pub use consumer::Consumer;
pub use dead_letters::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeadLetterQueue, NotReplayable, REPLAY_OF, Replay,
};
pub use delivery::{Delivery, Disposition};
pub use entry::{Entry, EntryId};
pub use group::{ConsumerGroup, GroupSettings, InvalidName};
pub use health::{ConsumerHealth, EntrySummary, GroupHealth, StreamHealth};
pub use key::{InvalidStreamKey, StreamKey};
pub use lease::{Lease, Leases};
pub use metrics::GroupMetrics;
pub use producer::{Producer, SendError, append_to};
pub use read_answer::ReadAnswer;
pub use tail::TailReader;
pub use trimmer::{Retention, Trimmed, Trimmer};
pub use undelivered::Undelivered;
