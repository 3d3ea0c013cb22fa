//! Who may enter now, and when the others should come back.
//!
//! Everything here is known already, so a refusal costs nothing: not a command, not a wait.

use std::time::Duration;

use tokio::time::Instant;

use super::error::{RequestError, RequestErrorKind};
use super::metrics::Refusals;
use super::pending::PendingReplies;
use super::worker_presence::WorkerPresence;
use crate::connection::Redis;
use crate::resilience::{BreakerState, WaitEstimate};
use crate::telemetry::LatchView;

/// What decides about a newcomer.
pub(super) struct Admission {
    pub(super) redis: Redis,
    pub(super) pending: PendingReplies,
    pub(super) max_in_flight: usize,
    /// `None`: nobody looks at the workers.
    pub(super) workers: Option<WorkerPresence>,
    pub(super) estimate: WaitEstimate,
    /// Set while the reply listener hears its lane: what is sent meanwhile could be answered behind its back.
    pub(super) listens: LatchView,
    /// Set while Redis lets this process do what it is there for.
    pub(super) permitted: LatchView,
    pub(super) refusals: Refusals,
}

/// When to try again while the circuit is open: its heartbeat probes at least this often.
const OUTAGE_RETRY_AFTER: Duration = Duration::from_secs(1);

/// When to try again while no worker is there: somebody has to start one.
const ABSENCE_RETRY_AFTER: Duration = Duration::from_secs(5);

/// When to try again after a failure that is over soon, or never.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// No answer sends anybody away for longer.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60);

impl Admission {
    /// Refuses what cannot succeed within `patience` from `now`.
    pub(super) fn check(&self, now: Instant, patience: Duration) -> Result<(), RequestError> {
        let able = self.listens.is_set() && self.permitted.is_set();
        if !able || self.redis.circuit().state() != BreakerState::Closed {
            return Err(self.refuse(RequestErrorKind::Unavailable, OUTAGE_RETRY_AFTER));
        }
        let waiting = self.pending.len();
        if waiting >= self.max_in_flight {
            // As long as it takes until half of them are answered.
            let wait = self.estimate.wait(waiting / 2).unwrap_or(OUTAGE_RETRY_AFTER);
            return Err(self.refuse(RequestErrorKind::Overloaded, wait));
        }
        if self.workers.as_ref().is_some_and(|workers| workers.are_absent(now)) {
            return Err(self.refuse(RequestErrorKind::NoWorker, ABSENCE_RETRY_AFTER));
        }
        match self.estimate.excess(waiting, patience) {
            Some(excess) => Err(self.refuse(RequestErrorKind::QueueTooLong, excess)),
            None => Ok(()),
        }
    }

    /// Turns one away, and counts it.
    pub(super) fn refuse(&self, kind: RequestErrorKind, retry_after: Duration) -> RequestError {
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

/// When a caller that was admitted and waited in vain may try again.
pub(super) fn retry_after(kind: RequestErrorKind) -> Option<Duration> {
    match kind {
        RequestErrorKind::DeadlinePassed => None,
        RequestErrorKind::NoWorker => Some(ABSENCE_RETRY_AFTER),
        _ => Some(RETRY_AFTER),
    }
}
