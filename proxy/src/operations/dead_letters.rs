use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use streamgate::envelope::Problem;
use streamgate::stream::{DeadLetter, EntryId};
use utoipa::{IntoParams, ToSchema};

use super::streams::EntryReport;
use super::{Operations, unavailable};

/// Which dead letters to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// How many at most, 1 to 500.
    #[serde(default = "Page::default_count")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    count: usize,
    /// Only those older than this id: `next` of the page before.
    #[param(pattern = r"^[0-9]{1,19}-[0-9]{1,19}$", example = "1763683200000-0")]
    before: Option<String>,
}

impl Page {
    const LARGEST: usize = 500;

    fn default_count() -> usize {
        50
    }
}

/// Some dead letters, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    /// How many there are in all.
    #[schema(example = 1)]
    total: u64,
    /// This page.
    dead_letters: Vec<DeadLetterReport>,
    /// Pass it as `before` to get the next page; null on the last.
    next: Option<String>,
}

/// One dead letter.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DeadLetterReport {
    /// Why the entry was given up.
    #[schema(example = "undecodable: field `id` is missing")]
    reason: String,
    /// How often it had been delivered.
    #[schema(example = 1)]
    attempts: u32,
    /// Its id on the request stream.
    #[schema(example = "1763683200000-0")]
    origin_id: Option<String>,
    /// The worker that gave it up.
    #[schema(example = "weather-worker-1")]
    consumer: String,
    /// The dead letter: its id, when, and the original fields.
    #[serde(flatten)]
    entry: EntryReport,
}

/// Requests that were given up, the newest first.
#[utoipa::path(
    get,
    path = "/dead-letters",
    tag = "dead letters",
    params(Page),
    responses(
        (status = 200, description = "A page of dead letters.", body = DeadLetters),
        (status = 400, description = "A parameter breaks its rule.", body = super::ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Redis does not answer.", body = super::ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(operations): State<Operations>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<DeadLetters>, Problem> {
    let Query(page) = page.map_err(|rejection| Problem::new(400, rejection.body_text()))?;
    if !(1..=Page::LARGEST).contains(&page.count) {
        return Err(Problem::new(400, format!("count must be from 1 to {}", Page::LARGEST)));
    }
    let before: Option<EntryId> = page
        .before
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|rule| Problem::new(400, format!("before {rule}")))?;
    let queue = operations.group.dead_letters();
    let letters = match before {
        // Nothing is below it, and Redis refuses to look there.
        Some(EntryId::MIN) => Vec::new(),
        _ => queue.list(before, page.count).await.map_err(|error| unavailable(&error))?,
    };
    let total = queue.count().await.map_err(|error| unavailable(&error))?;
    let full = letters.len() == page.count;
    let next = letters.last().filter(|_| full).map(|letter| letter.id.to_string());
    Ok(Json(DeadLetters {
        total,
        dead_letters: letters.into_iter().map(DeadLetterReport::from).collect(),
        next,
    }))
}

impl From<DeadLetter> for DeadLetterReport {
    fn from(letter: DeadLetter) -> Self {
        Self {
            entry: EntryReport::of(letter.id, &letter.fields),
            reason: letter.reason,
            attempts: letter.attempts,
            origin_id: letter.origin_id.map(|id| id.to_string()),
            consumer: letter.consumer,
        }
    }
}
