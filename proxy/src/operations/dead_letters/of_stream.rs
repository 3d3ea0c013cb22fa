use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use service::http::ProblemAnswer;
use utoipa::IntoParams;

use crate::operations::Operations;
use crate::streams::ServedQueue;

/// Whose dead letters.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfStream {
    /// The stream whose dead letters are meant. Without it, REQUEST_STREAM, or the only stream that is served.
    #[param(nullable = false, min_length = 1, max_length = 256)]
    stream: Option<String>,
}

/// The queue whose dead letters an operation is about.
pub(super) struct LettersOf(pub(super) ServedQueue);

impl FromRequestParts<Operations> for LettersOf {
    type Rejection = ProblemAnswer;

    async fn from_request_parts(parts: &mut Parts, operations: &Operations) -> Result<Self, ProblemAnswer> {
        let query: Result<Query<OfStream>, QueryRejection> = Query::try_from_uri(&parts.uri);
        let Query(of) = query.map_err(|rejection| ProblemAnswer::new(400, rejection.body_text()))?;
        Ok(Self(operations.queue(of.stream.as_deref())?))
    }
}
