use std::time::Duration;

use bytes::Bytes;

use crate::envelope::{CorrelationId, Reply, TraceContext};

/// One request to send.
#[derive(Debug, Clone)]
pub struct Call {
    /// Joins the reply to it.
    pub id: CorrelationId,
    /// The trace it belongs to and its parent in it, if anybody traces it.
    pub trace: Option<TraceContext>,
    /// Media type of `body`.
    pub content_type: &'static str,
    /// The payload.
    pub body: Bytes,
    /// How long the caller waits.
    pub timeout: Duration,
}

/// A reply and where the time went.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What the worker answered.
    pub reply: Reply,
    /// Where the time went.
    pub timing: Timing,
}

/// Where the time of one request went. Entry ids count in milliseconds, so `queue` and `reply`
/// are exact to about one.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From admission to the start of the work.
    pub queue: Duration,
    /// In the handler.
    pub work: Duration,
    /// From the stored reply to the caller.
    pub reply: Duration,
}
