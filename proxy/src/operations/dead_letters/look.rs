use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query};
use serde::Deserialize;
use service::http::ProblemAnswer;
use utoipa::IntoParams;

use super::of_stream::{LettersOf, OfStream};
use super::report::{DeadLetterReport, DeadLetters};
use super::selection::Filter;
use super::{MOST, entry_id, not_found, unreadable};
use crate::operations::description::{Guarded, OfOne, OfPage};

/// Lists the dead letters that meet every condition.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Page {
    /// Most dead letters on the page, 1 to 500.
    #[serde(default = "Page::default_count")]
    #[param(default = 50, minimum = 1, maximum = 500)]
    count: usize,
    /// The stream whose dead letters are listed. Without it, REQUEST_STREAM, or the only stream that is served.
    #[serde(rename = "stream")]
    #[param(nullable = false, min_length = 1, max_length = 256)]
    _stream: Option<String>,
    /// Only those older than this id, which is `next` of the previous page.
    #[param(nullable = false, pattern = "^[0-9]{1,19}-[0-9]{1,19}$")]
    before: Option<String>,
    /// Only those whose reason contains this text, in upper or lower case.
    #[param(nullable = false, min_length = 1, max_length = 256)]
    reason: Option<String>,
    /// Only those that this worker gave up.
    #[param(nullable = false, min_length = 1, max_length = 256)]
    consumer: Option<String>,
    /// Only those of the request with this correlation id.
    #[param(nullable = false, min_length = 1, max_length = 256)]
    request_id: Option<String>,
    /// Only those given up at this time or later (RFC 3339; write the + of an offset as %2B).
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    since: Option<String>,
    /// Only those given up at this time or before.
    #[param(nullable = false, value_type = Option<String>, format = DateTime)]
    until: Option<String>,
}

impl Page {
    fn default_count() -> usize {
        50
    }

    /// Names the parameters that there are if one is unknown.
    fn check_names(parameters: &[(String, String)]) -> Result<(), ProblemAnswer> {
        let known: Vec<String> =
            Self::into_params(|| None).into_iter().map(|parameter| parameter.name).collect();
        match parameters.iter().find(|(name, _)| !known.contains(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let detail = format!("unknown parameter `{name}`; there are: {}", known.join(", "));
                Err(ProblemAnswer::new(400, detail))
            }
        }
    }
}

/// Lists dead letters, the newest first
///
/// `total` counts all dead letters, not those that match the filter. One page examines at most 2,000 dead
/// letters or 16 MiB. With a filter, a page may be short or empty and still have a `next`.
#[utoipa::path(
    get,
    path = "/dead-letters",
    tag = "dead letters",
    params(Page),
    security(("bearer" = [])),
    responses(
        (status = 200, description = "A page of dead letters.", body = DeadLetters),
        OfPage,
        Guarded,
    )
)]
pub(super) async fn list(
    LettersOf(queue): LettersOf,
    names: Result<Query<Vec<(String, String)>>, QueryRejection>,
    page: Result<Query<Page>, QueryRejection>,
) -> Result<Json<DeadLetters>, ProblemAnswer> {
    if let Ok(Query(parameters)) = names {
        Page::check_names(&parameters)?;
    }
    let Query(page) = page.map_err(|rejection| ProblemAnswer::new(400, rejection.body_text()))?;
    let invalid = |rule: String| ProblemAnswer::new(400, rule);
    if !(1..=MOST).contains(&page.count) {
        return Err(invalid(format!("count must be from 1 to {MOST}")));
    }
    let before = page.before.map(|id| entry_id("before", &id)).transpose().map_err(invalid)?;
    let Page { reason, consumer, request_id, since, until, .. } = page;
    let filter = Filter { reason, consumer, request_id, since, until }.checked().map_err(invalid)?;
    let queue = queue.group.dead_letters();
    let found = queue.search(&filter, before, page.count).await.map_err(|error| unreadable(&error))?;
    let total = queue.count().await.map_err(|error| unreadable(&error))?;
    Ok(Json(DeadLetters {
        total,
        dead_letters: found.letters.into_iter().map(DeadLetterReport::from).collect(),
        next: found.next.map(|id| id.to_string()),
    }))
}

/// Shows one dead letter with its original fields
#[utoipa::path(
    get,
    path = "/dead-letters/{id}",
    tag = "dead letters",
    params(
        ("id" = super::selection::EntryIdSchema, Path, description = "Its id on the dead-letter stream"),
        OfStream
    ),
    security(("bearer" = [])),
    responses((status = 200, description = "The dead letter.", body = DeadLetterReport), OfOne, Guarded)
)]
pub(super) async fn look(
    LettersOf(queue): LettersOf,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<DeadLetterReport>, ProblemAnswer> {
    let id = super::id_of_path(id)?;
    let letter = queue.group.dead_letters().get(id).await.map_err(|error| unreadable(&error))?;
    letter.map(|letter| Json(letter.into())).ok_or_else(|| not_found(id))
}
