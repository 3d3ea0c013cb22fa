use std::fmt;
use std::time::Duration;

use super::{GroupHealth, StreamHealth};
use crate::connection::{Error, Redis};
use crate::stream::StreamKey;

/// From which values on a stream is unhealthy.
///
/// ```
/// use std::time::Duration;
///
/// use streamgate::stream::Thresholds;
///
/// let strict = Thresholds { oldest_pending: Duration::from_secs(60), ..Thresholds::default() };
/// assert_eq!(strict.length, 1_000_000);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Entries on the stream.
    pub length: u64,
    /// The age of the oldest entry that is delivered and not acknowledged.
    pub oldest_pending: Duration,
    /// Pending entries of all groups together.
    pub pending: u64,
    /// Pending entries of one group.
    pub pending_in_group: u64,
    /// The fewest consumers that a group should have.
    pub consumers: u64,
}

impl Default for Thresholds {
    /// 1,000,000 entries; an hour; 10,000 pending entries, 1,000 of one group; one consumer.
    fn default() -> Self {
        Self {
            length: 1_000_000,
            oldest_pending: Duration::from_secs(3_600),
            pending: 10_000,
            pending_in_group: 1_000,
            consumers: 1,
        }
    }
}

/// The state of a stream at one moment, and what is wrong with it.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is wrong; none if nothing is.
    pub issues: Vec<Issue>,
    /// The state; `None` if there is no such stream.
    pub state: Option<StreamHealth>,
}

/// One thing that is wrong with a stream. As text, it says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// What it is about.
    pub code: IssueCode,
    /// How bad it is.
    pub severity: Severity,
    /// The group, if it is about one.
    pub group: Option<String>,
    /// The value, in the unit of [`IssueCode`].
    pub value: u64,
    /// The threshold that it has reached, in the same unit.
    pub threshold: u64,
    /// What to do.
    pub advice: &'static str,
}

/// What an issue is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssueCode {
    /// There is no such stream. The value is the number of streams, 0.
    Missing,
    /// The stream is long. In entries.
    Length,
    /// A pending entry is old. In seconds.
    OldestPending,
    /// All groups together have many pending entries. In entries.
    Pending,
    /// One group has many pending entries. In entries.
    PendingInGroup,
    /// A group has too few consumers. In consumers.
    Consumers,
}

/// How bad an issue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It may be meant so.
    Warning,
    /// Somebody should act.
    Unhealthy,
}

impl Health {
    pub(in crate::stream) async fn read(
        redis: &Redis,
        key: &StreamKey,
        thresholds: &Thresholds,
    ) -> Result<Self, Error> {
        let state = StreamHealth::read(redis, key).await?;
        let issues = match &state {
            None => vec![Issue::new(IssueCode::Missing, None, 0, 1)],
            Some(state) => thresholds.issues(state),
        };
        Ok(Self { issues, state })
    }

    /// True if nothing is wrong but warnings.
    pub fn is_healthy(&self) -> bool {
        self.issues.iter().all(|issue| issue.severity < Severity::Unhealthy)
    }
}

impl Thresholds {
    /// What is wrong with a stream in this state.
    pub fn issues(&self, state: &StreamHealth) -> Vec<Issue> {
        let pending = state.groups.iter().map(|group| group.pending).sum();
        let mut issues: Vec<Issue> = [
            reached(IssueCode::Length, None, state.length, self.length),
            reached(IssueCode::Pending, None, pending, self.pending),
        ]
        .into_iter()
        .flatten()
        .collect();
        issues.extend(state.groups.iter().flat_map(|group| self.issues_of(group)).flatten());
        issues
    }

    fn issues_of(&self, group: &GroupHealth) -> [Option<Issue>; 3] {
        let (name, consumers) = (Some(&*group.name), group.consumers.len() as u64);
        let (oldest, limit) = (group.oldest_pending_age, self.oldest_pending);
        [
            reached(IssueCode::PendingInGroup, name, group.pending, self.pending_in_group),
            (group.pending > 0 && oldest >= limit)
                .then(|| Issue::new(IssueCode::OldestPending, name, oldest.as_secs(), limit.as_secs())),
            (consumers < self.consumers)
                .then(|| Issue::new(IssueCode::Consumers, name, consumers, self.consumers)),
        ]
    }
}

fn reached(code: IssueCode, group: Option<&str>, value: u64, threshold: u64) -> Option<Issue> {
    (value >= threshold).then(|| Issue::new(code, group, value, threshold))
}

impl Issue {
    fn new(code: IssueCode, group: Option<&str>, value: u64, threshold: u64) -> Self {
        let severity = match code {
            IssueCode::Missing => Severity::Warning,
            _ => Severity::Unhealthy,
        };
        Self { code, severity, group: group.map(str::to_owned), value, threshold, advice: code.advice() }
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(group) = &self.group {
            write!(f, "group {group}: ")?;
        }
        let (value, threshold) = (self.value, self.threshold);
        match self.code {
            IssueCode::Missing => write!(f, "there is no such stream")?,
            IssueCode::Length => write!(f, "{value} entries, and {threshold} are too many")?,
            IssueCode::OldestPending => {
                write!(f, "an entry is pending for {value} s, and {threshold} s are too long")?;
            }
            IssueCode::Pending | IssueCode::PendingInGroup => {
                write!(f, "{value} entries are pending, and {threshold} are too many")?;
            }
            IssueCode::Consumers => write!(f, "{value} consumers, fewer than {threshold}")?,
        }
        write!(f, "; {}", self.advice)
    }
}

impl IssueCode {
    /// The code as text, for logs and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Length => "length",
            Self::OldestPending => "oldest_pending",
            Self::Pending => "pending",
            Self::PendingInGroup => "pending_in_group",
            Self::Consumers => "consumers",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Missing => "check the name; a stream is created with its first entry or group",
            Self::Length => "trim finished entries, and check that every group reads and acknowledges",
            Self::OldestPending => {
                "look at the pending entries: claim those of a dead consumer, and dead-letter those that no consumer can process"
            }
            Self::Pending | Self::PendingInGroup => "add consumers, or find out why they do not acknowledge",
            Self::Consumers => "start a consumer, or destroy the group if it is no longer used",
        }
    }
}

impl fmt::Display for IssueCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
