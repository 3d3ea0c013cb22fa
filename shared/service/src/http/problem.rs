use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use streamgate::envelope::{PROBLEM_JSON, Problem};

/// A problem (RFC 9457) as an HTTP answer: its status, `application/problem+json` and its JSON.
#[derive(Debug)]
pub struct ProblemAnswer(pub Problem);

impl ProblemAnswer {
    /// A problem with this status, 400 to 599. The detail says what the caller can do about it.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self(Problem::new(status, detail))
    }
}

impl IntoResponse for ProblemAnswer {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        (status, [content_type], self.0.to_body()).into_response()
    }
}
