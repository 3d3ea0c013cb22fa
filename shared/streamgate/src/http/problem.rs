use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::envelope::{PROBLEM_JSON, Problem};

impl IntoResponse for Problem {
    /// The problem as an answer: its status, `application/problem+json` and its JSON.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        (status, [content_type], self.to_body()).into_response()
    }
}
