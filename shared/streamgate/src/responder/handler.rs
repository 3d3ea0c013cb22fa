use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::envelope::{CorrelationId, PROBLEM_JSON, Problem, Reply, Request, is_media_type};
use crate::stream::Disposition;

/// One delivery of a request, as a [`Handler`] gets it.
#[derive(Debug, Clone)]
pub struct Work {
    /// The request.
    pub request: Request,
    /// Which delivery this is, counted from 1. If it is above 1, the work may have been done before.
    pub attempt: u32,
    /// How long the handler may take: the time left until the deadline, or the handler timeout
    /// if that is shorter.
    pub time_left: Duration,
}

/// What a [`Handler`] returns; it becomes the HTTP answer of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// An HTTP status, 200 to 599.
    pub status: u16,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload.
    pub body: Bytes,
    /// With a 503 or 429: how long the caller should wait before the next try.
    pub retry_after: Option<Duration>,
    /// Further header fields of the answer, names in lower case. Those that are not valid in HTTP are left out; the
    /// gateway passes on those it allows.
    pub headers: Vec<(String, String)>,
    /// What becomes of the request on the stream once the response is stored; usually it is acknowledged. With
    /// [`Disposition::HandBack`] and [`Disposition::RetryAfter`] nothing was done: the response is not sent, and the
    /// request goes back to the group at once, without counting this delivery.
    pub disposition: Disposition,
}

impl Response {
    /// A response with any status and media type.
    pub fn new(status: u16, content_type: impl Into<Cow<'static, str>>, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            content_type: content_type.into(),
            body: body.into(),
            retry_after: None,
            headers: Vec::new(),
            disposition: Disposition::Acknowledge,
        }
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
    /// Asks the caller to wait this long before the next try.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Also keeps the request as a dead letter with this reason, so that an operator can decide.
    #[must_use]
    pub fn dead_letter(self, reason: impl Into<String>) -> Self {
        Self { disposition: Disposition::DeadLetter(reason.into()), ..self }
    }

    /// Sends nothing: gives the request back to the group. Nothing of the work was done, so another delivery does no
    /// harm, and this one does not count.
    pub fn hand_back() -> Self {
        Self { disposition: Disposition::HandBack, ..Self::new(503, PROBLEM_JSON, Bytes::new()) }
    }

    /// True if a gateway can pass it on: it has a final status, a media type that is valid in a header, and a body of
    /// at most [`LARGEST_BODY`] bytes.
    pub(super) fn is_sendable(&self) -> bool {
        Reply::is_final_status(self.status)
            && is_media_type(self.content_type.as_bytes())
            && self.body.len() <= LARGEST_BODY
    }
}

/// 64 MB, in bytes. Redis closes the connection of a client that sends a string longer than `proto-max-bulk-len`
/// (512 MB). The limit is lower because other replies wait while a large one is sent.
const LARGEST_BODY: usize = 64 << 20;

/// The work itself. The [`Responder`](super::Responder) does everything around it: reading, deadlines, leases,
/// replies, acknowledgement.
///
/// A handler runs at least once for an admitted request and may run again after a crash, so
/// it should be idempotent for a correlation id. It is cancelled (its future is dropped) if its
/// lease is lost or its time is up. If it panics, the entry becomes a dead letter.
///
/// If the runtime has one thread and the work is usually short, the read loop polls the handler first; the handler
/// gets a task of its own only if it waits. As in all async code, work that blocks its thread for long belongs in
/// `spawn_blocking`.
pub trait Handler: Send + Sync + 'static {
    /// Does the work for one request.
    fn handle(&self, work: Work) -> impl Future<Output = Response> + Send;
}
