use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use serde::Serialize;
use serde_json::{Map, Value};
use service::http::ProblemAnswer;
use streamgate::stream::{EntryId, Replay};
use utoipa::ToSchema;

use super::selection::{Selection, SelectionSchema};
use super::{unconfirmed, unreadable};
use crate::operations::Operations;
use crate::operations::description::{Guarded, OfMany};

/// What became of each dead letter that was meant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcomes {
    /// How many were replayed or discarded by this call.
    #[schema(example = 1)]
    done: usize,
    /// Each of them, in the order of `ids`, or the newest first.
    results: Vec<Outcome>,
    /// With a filter: `before` of the next call; absent when nothing older is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683200000-0")]
    next: Option<String>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    /// The dead letter.
    #[schema(example = "1763683200000-0")]
    id: String,
    /// What became of it.
    outcome: OutcomeKind,
    /// The new entry on the request stream, if it was replayed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683260000-0")]
    entry_id: Option<String>,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<String>,
}

/// What can become of a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
enum OutcomeKind {
    /// It is a request again.
    Replayed,
    /// It is gone for good.
    Discarded,
    /// It is not there (any more): replayed, discarded or trimmed before.
    NotFound,
    /// It cannot be put back as it was; it stays.
    Refused,
    /// Redis did not confirm it: it may have been replayed all the same. Ask again.
    Unknown,
    /// Not tried, because Redis stopped answering. Ask again.
    NotTried,
}

/// Makes dead letters requests again
///
/// Replays each as one is replayed. Asking again is safe: what was replayed is `notFound` then. To replay everything that matches a filter, go on with `before` = `next`; what is
/// given up anew meanwhile is not met again.
#[utoipa::path(
    post,
    path = "/dead-letters/replay",
    tag = "dead letters",
    operation_id = "replay_many",
    request_body = SelectionSchema,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of each.", body = Outcomes), OfMany, Guarded)
)]
pub(super) async fn replay(
    State(operations): State<Operations>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<Outcomes>, ProblemAnswer> {
    let (ids, next) = operations.selected(Selection::read(body)?).await?;
    let mut results = Vec::with_capacity(ids.len());
    let mut ids = ids.into_iter();
    for id in ids.by_ref() {
        match operations.replay(id).await {
            Ok(replay) => results.push(Outcome::of_replay(id, replay)),
            Err(error) if results.is_empty() => return Err(unconfirmed(&error)),
            Err(error) => {
                // Some dead letters were replayed, and the answer must list them: so this is no failure.
                tracing::warn!(%error, "not all dead letters were replayed");
                results.push(Outcome::failed(id, OutcomeKind::Unknown, error.kind().to_string()));
                break;
            }
        }
    }
    results.extend(ids.map(|id| Outcome::failed(id, OutcomeKind::NotTried, "Redis stopped answering")));
    Ok(Json(Outcomes::new(results, next)))
}

/// Removes dead letters for good, all at once
///
/// Asking again is safe: what was discarded is `notFound` then.
#[utoipa::path(
    post,
    path = "/dead-letters/discard",
    tag = "dead letters",
    operation_id = "discard_many",
    request_body = SelectionSchema,
    security(("bearer" = [])),
    responses((status = 200, description = "What became of each.", body = Outcomes), OfMany, Guarded)
)]
pub(super) async fn discard(
    State(operations): State<Operations>,
    body: Result<Json<Map<String, Value>>, JsonRejection>,
) -> Result<Json<Outcomes>, ProblemAnswer> {
    let (ids, next) = operations.selected(Selection::read(body)?).await?;
    let were_there = operations.discard(&ids).await.map_err(|error| unconfirmed(&error))?;
    let results = ids.into_iter().zip(were_there).map(|(id, was_there)| match was_there {
        true => Outcome::new(id, OutcomeKind::Discarded),
        false => Outcome::new(id, OutcomeKind::NotFound),
    });
    Ok(Json(Outcomes::new(results.collect(), next)))
}

impl Operations {
    /// The ids that are meant, and where to look on for more.
    async fn selected(&self, selection: Selection) -> Result<(Vec<EntryId>, Option<EntryId>), ProblemAnswer> {
        match selection {
            Selection::Ids(ids) => Ok((ids, None)),
            Selection::Matching { filter, before, limit } => {
                let found = self.group.dead_letters().search(&filter, before, limit).await;
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
