use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::connection::Redis;
use crate::envelope::{CorrelationId, Reply, TraceContext};
use crate::stream::StreamKey;
use crate::telemetry::Latch;
use crate::telemetry::metrics::RequesterMetrics;

/// One request to send.
#[derive(Debug, Clone)]
pub struct Call {
    /// Joins the reply to it.
    pub id: CorrelationId,
    /// The trace it belongs to.
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

/// Where the time of one request went.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// From admission to the start of the work.
    pub queue: Duration,
    /// In the handler.
    pub work: Duration,
    /// From the stored reply to the caller.
    pub reply: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct RequestError {
    /// What kind of failure.
    pub kind: RequestErrorKind,
    /// When it makes sense to try again, where that is known.
    pub retry_after: Option<Duration>,
}

/// The kinds of [`RequestError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestErrorKind {
    /// As many callers wait as may; nothing was sent.
    #[error("too many requests are waiting")]
    Overloaded,
    /// Redis cannot be reached or refuses to store the request.
    #[error("the queue is unavailable")]
    Unavailable,
    /// Nobody answered in time; the work may have been done all the same.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// This process is stopping; nothing was sent.
    #[error("the gateway is shutting down")]
    Draining,
}

/// Settings of a [`Requester`].
#[derive(Debug, Clone)]
pub struct RequesterSettings {
    /// Where requests go.
    pub request_stream: StreamKey,
    /// The plain reply stream; the lane of this replica is derived from it.
    pub reply_stream: StreamKey,
    /// This replica's name: its own lane, `<reply_stream>.<replica>`. `None` shares the plain one.
    pub replica: Option<String>,
    /// How many callers may wait at once.
    pub max_in_flight: usize,
    /// The longest deadline a call may have; lanes keep replies for twice as long.
    pub longest_timeout: Duration,
}

/// Sends requests and waits for their replies. Clones share everything.
#[derive(Clone)]
pub struct Requester {}

impl Requester {
    /// Starts the writer, the reply listener and the deadline sweeper; they end when `stop` is
    /// cancelled. `listening` is set while the reply lane is being read.
    pub fn start(
        redis: Redis,
        settings: RequesterSettings,
        metrics: RequesterMetrics,
        listening: Latch,
        stop: CancellationToken,
    ) -> Self {
        let _ = (redis, settings, metrics, listening, stop);
        unimplemented!()
    }

    /// Sends one request and waits for its reply, at most `call.timeout`.
    ///
    /// # Errors
    /// See [`RequestErrorKind`].
    pub async fn request(&self, call: Call) -> Result<Answer, RequestError> {
        let _ = call;
        unimplemented!()
    }

    /// How many callers wait.
    pub fn pending(&self) -> usize {
        unimplemented!()
    }
}
