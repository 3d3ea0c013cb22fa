//! What both loops send, and where the outcomes go.

use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;

use crate::corpus::Corpus;
use crate::{Caller, Outcome};

/// A load that is about to be sent. Each clone is one end of the channel to the tally.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) caller: Caller,
    pub(crate) corpus: Corpus,
    /// The moment from which `duration` counts.
    pub(crate) start: Instant,
    /// No more than these are sent.
    pub(crate) requests: u64,
    /// None is sent later than this.
    pub(crate) duration: Option<Duration>,
    pub(crate) outcomes: UnboundedSender<Outcome>,
}

impl Load {
    /// Sends request number `n`, which was to leave at `intended`, and hands on what became of it.
    pub(crate) async fn send(&self, n: u64, intended: Instant) {
        let outcome = self.caller.call(self.corpus.body(n), intended).await;
        // The receiver is gone only if the whole run was given up.
        let _ = self.outcomes.send(outcome);
    }
}
