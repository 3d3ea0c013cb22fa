//! The load of both loops.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::corpus::Corpus;
use crate::{Caller, Outcome};

/// A load to send. Each clone holds a sender of the channel to the tally.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) caller: Caller,
    pub(crate) corpus: Corpus,
    /// The time from which `duration` counts.
    pub(crate) start: Instant,
    /// The most requests to send.
    pub(crate) requests: u64,
    /// No request is sent later than this after `start`.
    pub(crate) duration: Option<Duration>,
    pub(crate) outcomes: UnboundedSender<Outcome>,
}

impl Load {
    /// Sends request number `n`, scheduled for `intended`, and passes its outcome to the tally.
    pub(crate) async fn send(&self, n: u64, intended: Instant) {
        let outcome = self.caller.call(self.corpus.body(n), intended).await;
        // The receiver is gone only if the whole run was cancelled.
        let _ = self.outcomes.send(outcome);
    }
}
