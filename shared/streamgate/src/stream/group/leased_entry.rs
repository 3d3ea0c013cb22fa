use super::Lease;
use crate::stream::Entry;

/// One entry, delivered to this consumer with a lease.
#[derive(Debug)]
pub struct LeasedEntry {
    /// The entry.
    pub entry: Entry,
    /// Which delivery of the entry this is, counted from 1.
    pub attempt: u32,
    /// The right to work on it; keep it until the entry is settled.
    pub lease: Lease,
}

impl LeasedEntry {
    /// True if the entry is a suspect: its work may kill workers.
    pub fn is_suspect(&self) -> bool {
        self.attempt >= SUSPECT_FROM
    }
}

/// From this delivery on, an entry is a suspect. A worker holds one suspect at a time and does no other work meanwhile.
///
/// A second delivery usually means that a worker was killed. Then all entries that it held are delivered again at the
/// same time, so they must not run one by one. A third delivery means that the entry itself may kill workers. It runs
/// alone, so that no other entry is in the worker that it kills.
pub(super) const SUSPECT_FROM: u32 = 3;

/// How a delivery is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Done: acknowledge it.
    Acknowledge,
    /// Not done, for a reason outside the entry: give it back for any consumer, without counting this delivery.
    HandBack,
    /// Cannot be done: move it to the dead letters with this reason, and acknowledge it.
    DeadLetter(String),
}
