use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use super::destination::Destination;
use crate::envelope::{CorrelationId, HttpHead, Reply, TraceContext};

/// One request to send.
#[derive(Debug, Clone)]
pub struct Call {
    /// The stream it goes to, one of this requester.
    pub to: Destination,
    /// Joins the reply to the request.
    pub id: CorrelationId,
    /// Its trace and its parent span, if the request is traced.
    pub trace: Option<TraceContext>,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload.
    pub body: Bytes,
    /// How long the caller waits.
    pub timeout: Duration,
    /// The HTTP request that a route passes on, if there is one.
    pub http: Option<Box<HttpHead>>,
}

/// A reply, and how long its parts took.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The worker's reply.
    pub reply: Reply,
    /// How long each part of the request took.
    pub timing: Timing,
}

/// How long each part of one request took. Entry ids count in milliseconds, so `queue` and `reply`
/// are exact to about one millisecond.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Time from admission to the start of the work.
    pub queue: Duration,
    /// Time in the handler.
    pub work: Duration,
    /// Time from the stored reply to the caller.
    pub reply: Duration,
}
