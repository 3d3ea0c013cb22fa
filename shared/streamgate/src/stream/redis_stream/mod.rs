//! The raw door: one stream, its entries and fields, as the commands of Redis see them.
//!
//! In reading order: [`RedisStream`] (here). Writing: `append` (one entry) and `batch` (many). `xadd` has their
//! options and errors, `small` the writer that tasks share, `large` the way of entries of megabytes. Reading without a
//! group: [`Entries`] (`entries`), and `tail`. Groups: `groups`, `pending`, `claims`. `upkeep` has length, state, deleting,
//! trimming, health and dead letters.

mod append;
mod batch;
mod claims;
mod entries;
mod groups;
mod large;
mod pending;
mod small;
mod tail;
mod upkeep;
mod xadd;

use std::sync::Arc;
use std::time::Duration;

use super::{Entry, InvalidStreamKey, Source, StreamKey};
use crate::codec::CodecError;
use crate::connection::Redis;
use crate::fields::Fields;

pub use batch::BatchError;
pub use claims::{Claimed, IdleClaims};
pub use entries::Entries;
pub use groups::CreateGroupError;
pub use pending::{PendingEntry, PendingQuery, PendingSummary};
pub use upkeep::{StreamInfo, Trim};
pub use xadd::{AppendError, AppendOptions, Cap, append_to};

/// One stream, with the operations of Redis on it. Clones share everything.
///
/// An entry is stored at least once: if Redis does not answer, [`RedisStream::append`] sends it again, and the entry
/// may then be there twice. Nothing is deleted unless it is asked for by name ([`Cap`], [`Trim`],
/// [`RedisStream::delete`]). Entries are as durable as the server makes them.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use std::ops::Bound;
///
/// use streamgate::connection::Redis;
/// use streamgate::fields::Fields;
/// use streamgate::stream::{EntryId, RedisStream};
///
/// let redis = Redis::connect("redis://127.0.0.1:6379").await?;
/// let orders = RedisStream::new(&redis, "orders")?;
/// let id = orders.append(Fields::from_iter([("item", "tea"), ("count", "3")])).await?;
///
/// let mut all = orders.range(EntryId::MIN..);
/// while let Some(entry) = all.next().await {
///     let entry = entry?;
///     println!("{}: {:?}", entry.id, entry.value.text("item"));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RedisStream {
    redis: Redis,
    key: StreamKey,
    patience: Duration,
    outlets: Arc<small::Outlets>,
}

/// Default of [`RedisStream::patience`].
const PATIENCE: Duration = Duration::from_secs(5);

impl RedisStream {
    /// The stream called `name`; nothing is sent yet.
    ///
    /// # Errors
    /// The name is not valid.
    pub fn new(redis: &Redis, name: &str) -> Result<Self, InvalidStreamKey> {
        Ok(Self::of(redis, name.parse()?))
    }

    /// The stream `key`.
    pub fn of(redis: &Redis, key: StreamKey) -> Self {
        Self { redis: redis.clone(), key, patience: PATIENCE, outlets: Arc::default() }
    }

    /// How long an append goes on if Redis cannot be reached; the default is five seconds. The entry is sent again
    /// during this time.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

impl Source for RedisStream {
    type Value = Fields;

    fn redis(&self) -> &Redis {
        &self.redis
    }

    fn key(&self) -> &StreamKey {
        &self.key
    }

    fn decode(&self, entry: &Entry) -> Result<Fields, CodecError> {
        Ok(entry.fields.clone())
    }
}
