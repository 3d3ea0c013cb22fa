use std::time::Duration;

/// Why one try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// No connection, or a status that may change with another try (408, 5xx).
    Transient {
        detail: String,
        /// How long the service asks the caller to wait, if the answer says so.
        retry_after: Option<Duration>,
    },
    /// 429: too many requests.
    Limited { retry_after: Option<Duration> },
    /// No answer within the timeout of one try.
    TooSlow,
    /// Any other status: another try gets the same answer, but the service is alive.
    Refused { detail: String },
    /// An answer that cannot be read: too many bytes, no JSON, or JSON of another shape.
    BadAnswer { detail: String },
}
