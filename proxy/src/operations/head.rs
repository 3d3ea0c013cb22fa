//! What the head of every request has to say.

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT_ENCODING, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::http::ProblemAnswer;
use service::http::{host, is_encoded};

/// Lets requests pass that say whom they are for.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => ProblemAnswer::new(400, error.to_string()).into_response(),
    }
}

/// Refuses a body for what its head says, before a byte of it is asked for.
pub(super) async fn announces(State(limit): State<usize>, request: Request, next: Next) -> Response {
    if is_encoded(request.headers()) {
        let mut response =
            ProblemAnswer::new(415, "send the body without a content-encoding").into_response();
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        return response;
    }
    if request.body().size_hint().lower() > limit as u64 {
        return ProblemAnswer::new(413, format!("the body is larger than {limit} bytes")).into_response();
    }
    next.run(request).await
}
