//! How the work on a delivery ended, and what the settler then has to do.

use std::sync::Arc;

use opentelemetry::KeyValue;
use tokio::sync::OwnedRwLockWriteGuard;

use super::handler::Response;
use crate::envelope::{Deadline, Reply};
use crate::resilience::Slot;
use crate::stream::{Disposition, LeasedEntry};
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
    pub(super) fn record_in(&self, span: &mut Span) {
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

/// A delivery whose work has ended, with or without success. It keeps its lease and its slot until it is settled.
pub(super) struct Settlement {
    pub(super) delivery: LeasedEntry,
    /// Counts against the worker's concurrency until then. If Redis refuses replies, the worker therefore reads less
    /// instead of filling its memory.
    pub(super) _slot: Slot,
    /// The write lock of a suspect, which must run alone until it is settled.
    pub(super) _alone: Option<OwnedRwLockWriteGuard<()>>,
    /// The reply and its lane; `None` if the caller no longer waits.
    pub(super) reply: Option<Outgoing>,
    /// What to do with the entry once the reply is stored.
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
