use std::time::Duration;

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

/// From this delivery on, an entry is a suspect (see [`Lease::is_suspect`]). A worker holds one suspect at a time and
/// does no other work meanwhile.
pub(super) const SUSPECT_FROM: u32 = 3;

/// How a delivery is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Done: acknowledge it.
    Acknowledge,
    /// Not done, for a reason outside the entry: give it back for any consumer, without counting this delivery.
    HandBack,
    /// Failed for now: deliver it again after this delay, to this group. Until then it is not pending.
    RetryAfter(Duration),
    /// Cannot be done: move it to the dead letters with this reason, and acknowledge it.
    DeadLetter(String),
}
