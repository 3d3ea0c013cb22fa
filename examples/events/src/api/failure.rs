use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use service::http::ProblemAnswer;
use streamgate::connection::Error as RedisError;
use streamgate::envelope::{FieldError, Problem};

use crate::store::StoreError;

/// Why a request was not done. It becomes a problem (RFC 9457).
#[derive(Debug)]
pub(super) struct Failure {
    problem: Problem,
    /// Seconds until the next attempt may work.
    retry_after: Option<u64>,
}

impl Failure {
    /// A failure with this status. The detail says what the caller can do.
    pub(super) fn new(status: u16, detail: impl Into<String>) -> Self {
        let retry_after = (status == 503).then_some(1);
        Self { problem: Problem::new(status, detail), retry_after }
    }

    /// There is nothing of this kind.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// Values that break rules.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        let failure = Self::new(422, "the request breaks the rules listed in errors");
        Self { problem: failure.problem.with_errors(errors), ..failure }
    }

    /// Too many requests; another one may work after this time.
    pub(super) fn too_many(detail: &str, wait: std::time::Duration) -> Self {
        Self { retry_after: Some(wait.as_secs() + 1), ..Self::new(429, detail) }
    }

    /// Redis did not answer in time.
    pub(super) fn redis_is_late() -> Self {
        Self::new(503, "Redis does not answer: try again later")
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(error) => {
                tracing::warn!(%error, "the database cannot be used");
                Self::new(503, "the database cannot be used now: try again later")
            }
            StoreError::Taken(column) => {
                Self::new(409, format!("another user has this {column}: choose another"))
            }
            StoreError::TooManyStreams => Self::new(409, error.to_string()),
            StoreError::Refused(_) | StoreError::Tables(_) => {
                tracing::error!(%error, "a statement is not right");
                Self::new(500, "the service has a defect; its log shows the cause")
            }
        }
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        tracing::warn!(%error, "Redis cannot be asked");
        Self::new(503, format!("Redis cannot be asked now: {}", error.kind()))
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = self.problem.status;
        let mut response = ProblemAnswer(self.problem).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
