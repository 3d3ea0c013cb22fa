//! Checks the head of every request.

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::Version;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::http::ProblemAnswer;
use service::http::{host, is_encoded};

/// Lets requests with a valid host through.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => ProblemAnswer::new(400, error.to_string()).into_response(),
    }
}

/// Refuses a body by the head of its request, before the body is read.
pub(super) async fn announces(State(limit): State<usize>, request: Request, next: Next) -> Response {
    let version = request.version();
    if is_encoded(request.headers()) {
        let mut response =
            ProblemAnswer::new(415, "send the body without a content-encoding").into_response();
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        return ends_the_connection(response, version);
    }
    if request.body().size_hint().lower() > limit as u64 {
        let problem = ProblemAnswer::new(413, format!("the body is larger than {limit} bytes"));
        return ends_the_connection(problem.into_response(), version);
    }
    next.run(request).await
}

/// Closes an HTTP/1 connection whose body is not read, and tells the caller so. Otherwise the caller would
/// send its next request on this connection (RFC 9112, 9.6).
fn ends_the_connection(mut response: Response, version: Version) -> Response {
    if version <= Version::HTTP_11 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
