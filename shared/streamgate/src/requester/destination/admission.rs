//! Decides whether a request may be sent now. If not, it tells the caller when to try again.
//!
//! It uses only what this process already knows, so a refusal costs no command and no wait.

use std::time::Duration;

use tokio::time::Instant;

use super::super::error::{RequestError, RequestErrorKind};
use super::super::metrics::Refusals;
use super::super::pending::PendingReplies;
use super::worker_presence::WorkerPresence;
use crate::connection::Redis;
use crate::resilience::BreakerState;
use crate::telemetry::LatchView;

/// The facts that decide about a new request.
pub(in super::super) struct Admission {
    pub(in super::super) redis: Redis,
    /// The callers of this destination, with its wait estimate.
    pub(in super::super) pending: PendingReplies,
    pub(in super::super) max_in_flight: usize,
    /// `None`: the workers are not watched.
    pub(in super::super) workers: Option<WorkerPresence>,
    /// Set while the reply listener can read its lane. Without it, the reply to a new request could be missed.
    pub(in super::super) listens: LatchView,
    /// Set while Redis permits every command that the reply lane needs.
    pub(in super::super) lane_permitted: LatchView,
    /// Set while Redis permits every command that this stream needs.
    pub(in super::super) permitted: LatchView,
    pub(in super::super) refusals: Refusals,
}

/// `Retry-After` while the circuit is open: the heartbeat probes at least this often.
const OUTAGE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// `Retry-After` while no worker is alive: to start one takes some time.
const ABSENCE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// `Retry-After` in all other cases.
pub(in super::super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The longest `Retry-After` of any answer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

impl Admission {
    /// Refuses a request that cannot succeed within `patience` from `now`.
    pub(in super::super) fn check(&self, now: Instant, patience: Duration) -> Result<(), RequestError> {
        let able = self.listens.is_set() && self.lane_permitted.is_set() && self.permitted.is_set();
        if !able || self.redis.circuit().state() != BreakerState::Closed {
            return Err(self.refuse(RequestErrorKind::Unavailable, OUTAGE_RETRY_AFTER));
        }
        let (waiting, estimate) = (self.pending.len(), &self.pending.line().estimate);
        if self.pending.total() >= self.max_in_flight {
            // The time until half of the waiting callers have their answer.
            let wait = estimate.wait(waiting / 2).unwrap_or(OUTAGE_RETRY_AFTER);
            return Err(self.refuse(RequestErrorKind::Overloaded, wait));
        }
        if self.workers.as_ref().is_some_and(|workers| workers.are_absent(now)) {
            return Err(self.refuse(RequestErrorKind::NoWorker, ABSENCE_RETRY_AFTER));
        }
        match estimate.excess(waiting, patience) {
            Some(excess) => Err(self.refuse(RequestErrorKind::QueueTooLong, excess)),
            None => Ok(()),
        }
    }

    /// Counts a refusal and returns its error.
    pub(in super::super) fn refuse(&self, kind: RequestErrorKind, retry_after: Duration) -> RequestError {
        match kind {
            RequestErrorKind::Overloaded => self.refusals.in_flight.increment(1),
            RequestErrorKind::QueueTooLong => self.refusals.wait.increment(1),
            RequestErrorKind::NoWorker => self.refusals.no_worker.increment(1),
            RequestErrorKind::Unavailable => self.refusals.unavailable.increment(1),
            RequestErrorKind::Draining => self.refusals.draining.increment(1),
            RequestErrorKind::Unconfirmed | RequestErrorKind::DeadlinePassed => {}
        }
        RequestError { kind, retry_after: Some(retry_after.min(LONGEST_RETRY_AFTER)) }
    }
}

/// How long a caller that was admitted but got no reply should wait before the next try.
pub(in super::super) fn retry_after(kind: RequestErrorKind) -> Option<Duration> {
    match kind {
        RequestErrorKind::DeadlinePassed => None,
        RequestErrorKind::NoWorker => Some(ABSENCE_RETRY_AFTER),
        _ => Some(RETRY_AFTER),
    }
}
