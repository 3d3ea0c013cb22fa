use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use service::http::ProblemAnswer;
use streamgate::stream::Replay;
use utoipa::ToSchema;

use super::of_stream::{LettersOf, OfStream};
use super::{id_of_path, not_found, unconfirmed};
use crate::operations::Operations;
use crate::operations::description::{Guarded, OfOne, OfReplay};

/// The result of a replay.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replayed {
    /// The id of the dead letter.
    #[schema(example = "1763683200000-0")]
    id: String,
    /// The new entry on the request stream.
    #[schema(example = "1763683260000-0")]
    entry_id: String,
}

/// Puts one dead letter back on the request stream
///
/// Adds a new entry with the original fields to the request stream and removes the dead letter, in one
/// step. The request keeps its id; its new deadline is REQUEST_TIMEOUT from now. Its caller waits no
/// longer, so the reply reaches no caller.
#[utoipa::path(
    post,
    path = "/dead-letters/{id}/replay",
    tag = "dead letters",
    params(
        ("id" = super::selection::EntryIdSchema, Path, description = "Its id on the dead-letter stream"),
        OfStream
    ),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "The dead letter is on the request stream again.", body = Replayed),
        OfReplay,
        OfOne,
        Guarded,
    )
)]
pub(super) async fn replay(
    State(operations): State<Operations>,
    LettersOf(queue): LettersOf,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Replayed>, ProblemAnswer> {
    let id = id_of_path(id)?;
    match operations.replay(&queue, id).await.map_err(|error| unconfirmed(&error))? {
        Replay::Replayed(entry) => Ok(Json(Replayed { id: id.to_string(), entry_id: entry.to_string() })),
        Replay::NotFound => Err(not_found(id)),
        Replay::Refused(why) => Err(ProblemAnswer::new(409, why.to_string())),
    }
}

/// Deletes one dead letter
#[utoipa::path(
    delete,
    path = "/dead-letters/{id}",
    tag = "dead letters",
    params(
        ("id" = super::selection::EntryIdSchema, Path, description = "Its id on the dead-letter stream"),
        OfStream
    ),
    security(("bearer" = [])),
    responses((status = 204, description = "The dead letter is deleted."), OfOne, Guarded)
)]
pub(super) async fn discard(
    State(operations): State<Operations>,
    LettersOf(queue): LettersOf,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ProblemAnswer> {
    let id = id_of_path(id)?;
    let was_there = operations.discard(&queue, &[id]).await.map_err(|error| unconfirmed(&error))?;
    if was_there == [true] { Ok(StatusCode::NO_CONTENT) } else { Err(not_found(id)) }
}
