use super::{Entry, Lease};

/// One entry, handed to this consumer under a lease.
#[derive(Debug)]
pub struct Delivery {
    /// The entry.
    pub entry: Entry,
    /// Which delivery of this entry it is, counted from 1.
    pub attempt: u32,
    /// The right to work on it; keep it until the entry is settled.
    pub lease: Lease,
}

/// What became of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Done: acknowledge it.
    Acknowledge,
    /// Not done and not to blame: give it back, for any consumer, without counting this delivery.
    HandBack,
    /// Cannot be done: move it to the dead letters with this reason, and acknowledge it.
    DeadLetter(String),
}
