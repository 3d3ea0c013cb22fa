use serde::Serialize;
use streamgate::stream::DeadLetter;
use utoipa::ToSchema;

use crate::operations::streams::EntryReport;

/// Some dead letters, the newest first.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetters {
    /// How many there are in all, whatever the filter.
    #[schema(example = 1)]
    pub(super) total: u64,
    /// This page.
    pub(super) dead_letters: Vec<DeadLetterReport>,
    /// `before` of the next page; absent when nothing older is left. A page looks at 2,000 dead
    /// letters or 16 MiB at most, so with a filter it may be short, even empty, and have a next.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "1763683200000-0")]
    pub(super) next: Option<String>,
}

/// One dead letter: what it was and why it was given up.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeadLetterReport {
    /// Its id on the dead-letter stream, when it was given up, and its original fields.
    #[serde(flatten)]
    entry: EntryReport,
    /// Why the entry was given up.
    #[schema(example = "given up after 5 deliveries")]
    reason: String,
    /// How often it had been delivered.
    #[schema(example = 5)]
    attempts: u32,
    /// Its id on the original stream.
    #[schema(example = "1763683200000-0")]
    origin_id: Option<String>,
    /// The group that gave it up.
    #[schema(example = "weather-workers")]
    group: String,
    /// The worker that gave it up.
    #[schema(example = "weather-worker-1")]
    consumer: String,
    /// How many of the original fields were too many to keep; with any, it cannot be replayed.
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
