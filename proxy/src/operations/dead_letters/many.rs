use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Serialize;
use serde_json::{Map, Value};
use service::http::ProblemAnswer;
use streamgate::stream::{EntryId, Replay};
use utoipa::ToSchema;

use super::of_stream::{LettersOf, OfStream};
use super::selection::{Selection, SelectionSchema};
use super::{unconfirmed, unreadable};
use crate::operations::Operations;
use crate::operations::description::{Guarded, OfMany};
use crate::streams::ServedQueue;

/// The outcome for each selected dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcomes {
    /// Number of dead letters that this call replayed or discarded.
    #[schema(example = 1)]
    done: usize,
    /// One outcome for each dead letter: in the order of `ids`, or with a filter the newest first.
    results: Vec<Outcome>,
    /// With a filter: `before` of the next call; absent if no older dead letter matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683200000-0")]
    next: Option<String>,
}

/// The outcome for one dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// The dead letter.
    #[schema(example = "1763683200000-0")]
    id: String,
    /// What the call did with it.
    outcome: OutcomeKind,
    /// The new entry on the request stream, if it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683260000-0")]
    entry_id: Option<String>,
    /// Why the call did not replay or discard it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// The kinds of outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OutcomeKind {
    /// The call put it back on the request stream.
    Replayed,
    /// The call deleted it.
    Discarded,
    /// It does not exist: it may have been replayed, discarded or trimmed before.
    NotFound,
    /// It cannot be replayed, because some of its fields were left out. It stays a dead letter.
    Refused,
    /// Redis did not confirm the replay, but may have made it. Send the request again.
    Unknown,
    /// The call did not try it, because Redis stopped answering. Send the request again.
    NotTried,
}

/// Puts dead letters back on the request stream
///
/// Replays each dead letter as the operation on one does. It is safe to send the request again: a dead letter
/// that was replayed is then `notFound`. To replay every dead letter that matches a filter, set `before` to
/// `next` of the previous answer until an answer has no `next`. Dead letters that are added meanwhile are not
/// replayed.
#[utoipa::path(
    post,
    path = "/dead-letters/replay",
    tag = "dead letters",
    operation_id = "replay_many",
    params(OfStream),
    request_body = SelectionSchema,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of each.", body = Outcomes), OfMany, Guarded)
)]
pub(super) async fn replay(
    State(operations): State<Operations>,
    LettersOf(queue): LettersOf,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<Outcomes>, ProblemAnswer> {
    let (ids, next) = operations.selected(&queue, Selection::read(body)?).await?;
    let mut results = Vec::with_capacity(ids.len());
    let mut ids = ids.into_iter();
    for id in ids.by_ref() {
        match operations.replay(&queue, id).await {
            Ok(replay) => results.push(Outcome::of_replay(id, replay)),
            Err(error) if results.is_empty() => return Err(unconfirmed(&error)),
            Err(error) => {
                // The caller must learn which dead letters were replayed, so the answer is 200.
                tracing::warn!(%error, "not all dead letters were replayed");
                results.push(Outcome::failed(id, OutcomeKind::Unknown, error.kind().to_string()));
                break;
            }
        }
    }
    results.extend(ids.map(|id| Outcome::failed(id, OutcomeKind::NotTried, "Redis stopped answering")));
    Ok(Json(Outcomes::new(results, next)))
}

/// Deletes dead letters in one step
///
/// It is safe to send the request again: a dead letter that was discarded is then `notFound`.
#[utoipa::path(
    post,
    path = "/dead-letters/discard",
    tag = "dead letters",
    operation_id = "discard_many",
    params(OfStream),
    request_body = SelectionSchema,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of each.", body = Outcomes), OfMany, Guarded)
)]
pub(super) async fn discard(
    State(operations): State<Operations>,
    LettersOf(queue): LettersOf,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<Outcomes>, ProblemAnswer> {
    let (ids, next) = operations.selected(&queue, Selection::read(body)?).await?;
    let were_there = operations.discard(&queue, &ids).await.map_err(|error| unconfirmed(&error))?;
    let results = ids.into_iter().zip(were_there).map(|(id, was_there)| match was_there {
        true => Outcome::new(id, OutcomeKind::Discarded),
        false => Outcome::new(id, OutcomeKind::NotFound),
    });
    Ok(Json(Outcomes::new(results.collect(), next)))
}

impl Operations {
    /// The selected ids, and `next` if there are more.
    async fn selected(
        &self,
        queue: &ServedQueue,
        selection: Selection,
    ) -> Result<(Vec<EntryId>, Option<EntryId>), ProblemAnswer> {
        match selection {
            Selection::Ids(ids) => Ok((ids, None)),
            Selection::Matching { filter, before, limit } => {
                let found = queue.group.dead_letters().search(&filter, before, limit).await;
                let found = found.map_err(|error| unreadable(&error))?;
                Ok((found.letters.into_iter().map(|letter| letter.id).collect(), found.next))
            }
        }
    }
}

impl Outcomes {
    fn new(results: Vec<Outcome>, next: Option<EntryId>) -> Self {
        let is_done =
            |result: &&Outcome| matches!(result.outcome, OutcomeKind::Replayed | OutcomeKind::Discarded);
        Self { done: results.iter().filter(is_done).count(), results, next: next.map(|id| id.to_string()) }
    }
}

impl Outcome {
    fn new(id: EntryId, outcome: OutcomeKind) -> Self {
        Self { id: id.to_string(), outcome, entry_id: None, detail: None }
    }

    fn of_replay(id: EntryId, replay: Replay) -> Self {
        match replay {
            Replay::Replayed(entry) => {
                Self { entry_id: Some(entry.to_string()), ..Self::new(id, OutcomeKind::Replayed) }
            }
            Replay::NotFound => Self::new(id, OutcomeKind::NotFound),
            Replay::Refused(why) => Self::failed(id, OutcomeKind::Refused, why.to_string()),
        }
    }

    fn failed(id: EntryId, outcome: OutcomeKind, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::new(id, outcome) }
    }
}
