use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::{CorrelationId, PROBLEM_JSON, Problem, Reply, Request, is_media_type};

/// One delivery of a request, as a [`Handler`] gets it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The request.
    pub request: Request,
    /// Which delivery this is, counted from 1: above 1 the work may have been done before.
    pub attempt: u32,
    /// How long the handler may take: what is left until the deadline, or the handler timeout
    /// if that is shorter.
    pub time_left: Duration,
}

/// What a [`Handler`] answers: it becomes the caller's HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// An HTTP status, 200 to 599.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload.
    pub body: Bytes,
    /// When it makes sense to try again, for a 503 or 429.
    pub retry_after: Option<Duration>,
}

impl Response {
    /// An answer with any status and media type.
    pub fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        Self { status, content_type: content_type.into(), body: body.into(), retry_after: None }
    }

    /// A 200 with a JSON body.
    pub fn json(body: impl Into<Bytes>) -> Self {
        Self::new(200, "application/json", body)
    }

    /// An error with a problem body (RFC 9457).
    pub fn problem(id: CorrelationId, status: u16, detail: impl Into<String>) -> Self {
        Self::new(status, PROBLEM_JSON, Problem::new(status, detail).for_request(id).to_body())
    }
}

impl Response {
    /// Tells the caller when to come back.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// True if a gateway can pass it on: a final status, a media type that fits a header, and a body
    /// that fits Redis.
    pub(super) fn is_sendable(&self) -> bool {
        Reply::is_final_status(self.status)
            && is_media_type(self.content_type.as_bytes())
            && self.body.len() <= LARGEST_BODY
    }
}

/// Redis ends the connection of whoever sends more than `proto-max-bulk-len` (512 MB), and other
/// replies wait behind a large one: an eighth of that is more than an answer over HTTP should have.
const LARGEST_BODY: usize = 64 << 20;

/// The work itself. Everything around it (reading, deadlines, leases, replies, acknowledgement)
/// is the [`Responder`](super::Responder)'s.
///
/// A handler is run at least once for an admitted request and may be run again after a crash, so
/// it should be idempotent for a correlation id. It is cancelled (its future is dropped) when its
/// lease is lost or its time is up. A panic dead-letters the entry.
///
/// Where a worker has one thread and its work is usually short, a handler is first polled by the loop
/// that takes entries and gets a task of its own only if it waits. As anywhere in async code, work that
/// holds its thread for long belongs into `spawn_blocking`.
pub trait Handler: Send + Sync + 'static {
    /// Does the work for one request.
    fn handle(&self, work: Work) -> impl Future<Output = Response> + Send;
}
