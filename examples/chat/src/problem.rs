//! Why a request is refused, as an answer: problem details (RFC 9457).

use std::any::Any;
use std::time::Duration;

use axum::http::header::{ACCEPT, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use service::api_key::NoKey;
use service::http::ProblemAnswer;
use service::http::body::BodyError;
use streamgate::channel::WriteError;
use streamgate::connection::Error;
use streamgate::envelope::{FieldError, Problem};
use streamgate::stream::AppendError;

/// A problem, and the header that its status needs.
#[derive(Debug)]
pub(crate) struct Refusal {
    problem: Box<Problem>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = ProblemAnswer(*self.problem).into_response();
        response.headers_mut().extend(self.header);
        response
    }
}

impl Refusal {
    /// A problem with this status. The detail says what the caller can do about it.
    pub(crate) fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(status, detail)), header: None }
    }

    pub(crate) fn of_fields(errors: Vec<FieldError>) -> Self {
        let problem = Problem::new(422, "the request breaks the rules listed in errors").with_errors(errors);
        Self { problem: Box::new(problem), header: None }
    }

    pub(crate) fn not_json() -> Self {
        let detail = "send the body as application/json in UTF-8, without a content-encoding";
        Self::new(415, detail).with(ACCEPT, HeaderValue::from_static("application/json"))
    }

    /// A 429 or 503; the caller may try again after `wait`.
    pub(crate) fn later(status: u16, detail: impl Into<String>, wait: Duration) -> Self {
        // With 0, callers would try again in a loop without a pause.
        let seconds = (wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1);
        Self::new(status, detail).with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The answer if a handler panicked; the process has logged the panic.
    pub(crate) fn of_panic(_: Box<dyn Any + Send>) -> Response {
        Self::new(500, "the chat failed; its log shows why").into_response()
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }
}

impl From<NoKey> for Refusal {
    fn from(error: NoKey) -> Self {
        Self::new(401, error.to_string()).with(WWW_AUTHENTICATE, error.challenge())
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge { .. } => 413,
            BodyError::TimedOut { .. } => 408,
            BodyError::Broken => 400,
        };
        Self::new(status, error.to_string())
    }
}

const SECOND: Duration = Duration::from_secs(1);

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Append(AppendError::Unconfirmed(_)) => {
                Self::later(503, "Redis did not confirm the message: it may be in the chat or not", SECOND)
            }
            WriteError::Append(AppendError::Redis(error)) if error.is_transient() => {
                Self::later(503, "Redis stores no messages now: nothing was sent; try again later", SECOND)
            }
            error => {
                tracing::error!(%error, "a message cannot be stored");
                Self::new(
                    500,
                    "the message cannot be stored, and nothing was sent; the log of the chat shows why",
                )
            }
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::debug!(%error, "a request failed");
        Self::later(503, "Redis does not answer now; try again later", SECOND)
    }
}
