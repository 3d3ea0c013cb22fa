use std::time::Duration;

use super::{ConsumerGroup, InvalidName};
use crate::stream::dead_letters::DEFAULT_KEPT;
use crate::stream::{EntryId, StreamKey};

/// The stream, the group and the consumer, and the time limits of the group.
#[derive(Debug, Clone)]
pub struct GroupSettings {
    /// The stream.
    pub stream: StreamKey,
    /// The group's name.
    pub group: String,
    /// This consumer's name, unique among all processes of the group. [`ConsumerGroup::join`] takes
    /// another name if a live consumer already has this one.
    pub consumer: String,
    /// Where the group begins if it does not exist yet.
    pub start: Start,
    /// The longest time that one read blocks.
    pub block: Duration,
    /// The length of a lease: if a consumer lets an entry idle for this long, another consumer may claim it.
    pub claim_min_idle: Duration,
    /// How often leases are renewed; at most a third of `claim_min_idle`.
    pub lease_renewal: Duration,
    /// A consumer that is silent for longer counts as dead. A live one gives a sign of life every third of this, or
    /// twice per lease if that is more often.
    pub grace: Duration,
    /// About how many dead letters are kept.
    pub dead_letters_kept: usize,
}

const DEFAULT_BLOCK: Duration = Duration::from_secs(2);
const DEFAULT_LEASE: Duration = Duration::from_secs(2);
const DEFAULT_GRACE: Duration = Duration::from_secs(15);

impl GroupSettings {
    /// The defaults that the proxy ships with.
    pub fn new(stream: StreamKey, group: &str, consumer: &str) -> Self {
        Self {
            stream,
            group: group.to_owned(),
            consumer: consumer.to_owned(),
            start: Start::default(),
            block: DEFAULT_BLOCK,
            claim_min_idle: DEFAULT_LEASE,
            lease_renewal: DEFAULT_LEASE / 4,
            grace: DEFAULT_GRACE,
            dead_letters_kept: DEFAULT_KEPT,
        }
    }

    /// The labels of the group's metrics.
    pub fn labels(&self) -> [(&'static str, &str); 2] {
        [("stream", self.stream.as_str()), ("group", &self.group)]
    }
}

/// A consumer group and this consumer's name in it, as a program names them: everything else has a default.
///
/// ```
/// use streamgate::stream::{Group, Start};
///
/// let group = Group::new("billing").consumer("billing-1").start(Start::End);
/// ```
#[derive(Debug, Clone)]
pub struct Group {
    name: String,
    consumer: Option<String>,
    start: Start,
    lease: Duration,
    grace: Duration,
    block: Duration,
    dead_letters_kept: usize,
}

/// Where a group that is created begins to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// With the first entry of the stream.
    #[default]
    Beginning,
    /// With the entries written after the group was created.
    End,
    /// With the entry after this id.
    After(EntryId),
}

impl Start {
    /// As XGROUP writes it.
    pub(crate) fn to_id(self) -> String {
        match self {
            Self::Beginning => "0".to_owned(),
            Self::End => "$".to_owned(),
            Self::After(id) => id.to_string(),
        }
    }
}

impl Group {
    /// The group called `name`. The consumer has the name of this host, entries are leased for two seconds.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            consumer: None,
            start: Start::default(),
            lease: DEFAULT_LEASE,
            grace: DEFAULT_GRACE,
            block: DEFAULT_BLOCK,
            dead_letters_kept: DEFAULT_KEPT,
        }
    }

    /// This consumer's name. Keep it over restarts: a consumer first gets the entries that were delivered to its name
    /// and not acknowledged. If another process is alive under this name, a name of its own is taken, with a warning.
    #[must_use]
    pub fn consumer(self, name: impl Into<String>) -> Self {
        Self { consumer: Some(name.into()), ..self }
    }

    /// Where the group begins if it does not exist yet; the default is the beginning of the stream.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// The length of a lease: other consumers may claim an entry if its consumer was silent for this long. It is
    /// renewed four times per lease while the entry is held.
    #[must_use]
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// A consumer that is silent for longer counts as dead; at least a lease.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The longest time that one read blocks.
    #[must_use]
    pub fn block(self, block: Duration) -> Self {
        Self { block, ..self }
    }

    /// About how many dead letters are kept.
    #[must_use]
    pub fn dead_letters_kept(self, count: usize) -> Self {
        Self { dead_letters_kept: count, ..self }
    }

    /// The settings of this group of `stream`.
    ///
    /// # Errors
    /// The name of the group or of the consumer is not valid.
    pub fn of(self, stream: StreamKey) -> Result<GroupSettings, InvalidName> {
        let consumer = self.consumer.unwrap_or_else(host_name);
        ConsumerGroup::check_name(&self.name)?;
        ConsumerGroup::check_name(&consumer)?;
        Ok(GroupSettings {
            stream,
            group: self.name,
            consumer,
            start: self.start,
            block: self.block,
            claim_min_idle: self.lease,
            lease_renewal: self.lease / 4,
            grace: self.grace.max(self.lease),
            dead_letters_kept: self.dead_letters_kept,
        })
    }
}

/// The name of this machine, or of its container.
fn host_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default();
    let name: String = name.to_string_lossy().chars().filter(char::is_ascii_graphic).take(128).collect();
    if name.is_empty() { "consumer".to_owned() } else { name }
}
