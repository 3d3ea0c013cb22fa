use serde::Serialize;
use streamgate::stream::DeadLetter;
use utoipa::ToSchema;

use crate::operations::streams::EntryReport;

/// A page of dead letters, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    /// Number of all dead letters, regardless of the filter.
    #[schema(example = 1)]
    pub(super) total: u64,
    /// The dead letters on this page.
    pub(super) dead_letters: Vec<DeadLetterReport>,
    /// `before` of the next page; absent if there is no older dead letter. One page examines at most 2,000
    /// dead letters or 16 MiB, so with a filter a page may be short or empty and still have a next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683200000-0")]
    pub(super) next: Option<String>,
}

/// One dead letter: the original entry, and why a worker gave it up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetterReport {
    /// Its id on the dead-letter stream, the time at which it became a dead letter, and its original fields.
    #[serde(flatten)]
    entry: EntryReport,
    /// Why the worker gave the entry up.
    #[schema(example = "given up after 5 deliveries")]
    reason: String,
    /// Number of its deliveries.
    #[schema(example = 5)]
    attempts: u32,
    /// Its id on the original stream.
    #[schema(example = "1763683200000-0")]
    origin_id: Option<String>,
    /// The consumer group of the worker that gave it up.
    #[schema(example = "weather-workers")]
    group: String,
    /// The worker that gave it up.
    #[schema(example = "weather-worker-1")]
    consumer: String,
    /// Number of original fields that were left out, because there were too many. Unless it is 0, the dead
    /// letter cannot be replayed.
    #[schema(example = 0)]
    fields_left_out: u64,
}

impl From<DeadLetter> for DeadLetterReport {
    fn from(letter: DeadLetter) -> Self {
        Self {
            entry: EntryReport::of(letter.id, &letter.fields),
            reason: letter.reason,
            attempts: letter.attempts,
            origin_id: letter.origin_id.map(|id| id.to_string()),
            group: letter.group,
            consumer: letter.consumer,
            fields_left_out: letter.left_out,
        }
    }
}
