use std::time::Duration;

/// Why one try brought nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection, or a status that may be another one next time (408, 5xx).
    Transient {
        detail: String,
        /// When the service wants to be asked again, if it says so.
        retry_after: Option<Duration>,
    },
    /// 429: too many requests.
    Limited { retry_after: Option<Duration> },
    /// No answer in the time of one try.
    TooSlow,
    /// Any other status: asking again changes nothing, but the service is alive.
    Refused { detail: String },
    /// No answer to the question: too many bytes, no JSON, another shape.
    Nonsense { detail: String },
}
