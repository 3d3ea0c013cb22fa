//! How the work on a delivery ended, and what has to be settled then.

use std::sync::Arc;

use opentelemetry::KeyValue;
use tokio::sync::OwnedRwLockWriteGuard;

use super::handler::Response;
use crate::envelope::{Deadline, Reply};
use crate::resilience::Slot;
use crate::stream::{Delivery, Disposition};
use crate::telemetry::Span;

/// How the work on a delivery ended.
pub(super) enum Outcome {
    Answered(Response),
    Panicked,
    TimedOut,
    LeaseLost,
    Abandoned,
}

impl Outcome {
    /// What a span says of it.
    pub(super) fn tell(&self, span: &mut Span) {
        match self {
            Self::Answered(response) => {
                let status = response.status;
                span.record(|| [KeyValue::new("streamgate.status", i64::from(status))]);
                if status >= 500 {
                    span.fail(&status.to_string());
                }
            }
            Self::Panicked => span.fail("panic"),
            Self::TimedOut => span.fail("timeout"),
            Self::LeaseLost => span.fail("lease_lost"),
            Self::Abandoned => span.fail("abandoned"),
        }
    }
}

/// A delivery whose work is over, one way or another. It keeps its lease and its slot until Redis
/// has confirmed its end.
pub(super) struct Settlement {
    pub(super) delivery: Delivery,
    /// Counts against the worker's concurrency until then: a Redis that refuses replies slows the
    /// reading down instead of filling the memory.
    pub(super) _slot: Slot,
    /// Held by an entry that must be alone in its worker until it is settled.
    pub(super) _alone: Option<OwnedRwLockWriteGuard<()>>,
    /// What the caller is told, and where; nothing for work nobody waits for.
    pub(super) reply: Option<Outgoing>,
    /// What becomes of the entry once the reply is stored.
    pub(super) disposition: Disposition,
}

impl Settlement {
    pub(super) fn lane(&self) -> Option<&Arc<str>> {
        self.reply.as_ref().map(|outgoing| &outgoing.lane)
    }
}

/// A reply on its way to a lane.
pub(super) struct Outgoing {
    pub(super) lane: Arc<str>,
    pub(super) reply: Reply,
    pub(super) deadline: Deadline,
}
