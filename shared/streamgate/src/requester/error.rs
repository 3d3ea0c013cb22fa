use std::time::Duration;

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
    /// The work would start too late; nothing was sent.
    #[error("the queue is too long for an answer in time")]
    QueueTooLong,
    /// No worker has given a sign of life for too long; nothing was sent, or what was sent was taken back
    /// before a worker had it.
    #[error("no worker is there to do the work")]
    NoWorker,
    /// Redis cannot be reached or refuses to store the request; nothing was stored.
    #[error("the queue is unavailable")]
    Unavailable,
    /// Redis was asked to store the request and did not answer; it may be stored and worked on.
    #[error("the queue broke down")]
    Unconfirmed,
    /// Nobody answered in time; the work may have been done all the same.
    #[error("the deadline passed")]
    DeadlinePassed,
    /// This process is stopping; nothing was sent.
    #[error("the gateway is shutting down")]
    Draining,
}
