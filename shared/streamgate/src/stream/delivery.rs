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

impl Delivery {
    /// True if the entry itself may be what kills workers.
    pub fn is_suspect(&self) -> bool {
        self.attempt >= SUSPECT_FROM
    }
}

/// From this delivery on an entry is under suspicion, and a worker has one such at a time.
///
/// A second delivery usually means that a worker was stopped hard: everything it held comes back
/// at once and must not queue up behind itself. A third one means that the entry itself may be
/// what kills: alone, it takes no innocent with it.
pub(super) const SUSPECT_FROM: u32 = 3;

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
