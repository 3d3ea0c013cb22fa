use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct RequestError {
    /// The kind of failure.
    pub kind: RequestErrorKind,
    /// How long the caller should wait before the next try, if known.
    pub retry_after: Option<Duration>,
}

/// The kinds of [`RequestError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestErrorKind {
    /// The largest number of callers already waits; nothing was sent.
    #[error("too many requests are waiting")]
    Overloaded,
    /// The work would start too late; nothing was sent.
    #[error("the queue is too long for an answer in time")]
    QueueTooLong,
    /// No worker has given a sign of life for too long. The request was not sent, or it was taken back
    /// before a worker got it.
    #[error("no worker is there to do the work")]
    NoWorker,
    /// Redis cannot be reached or refuses to store the request; nothing was stored.
    #[error("the queue is unavailable")]
    Unavailable,
    /// Redis did not confirm that it stored the request; the request may be stored, and a worker may do the work.
    #[error("the queue broke down")]
    Unconfirmed,
    /// No reply came in time; the work may have been done.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// This process is stopping; nothing was sent.
    #[error("the gateway is shutting down")]
    Draining,
}
