//! What the head of every request has to say.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use streamgate::envelope::Problem;
use streamgate::http::host;

/// Lets requests pass that say whom they are for.
pub(super) async fn check(request: Request, next: Next) -> Response {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Problem::new(400, error.to_string()).into_response(),
    }
}
