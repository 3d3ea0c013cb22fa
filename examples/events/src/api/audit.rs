//! The audit trail.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::failure::Failure;
use super::input::{Check, Params, Rules};
use super::users::{check_page, fifty};
use crate::model::{CUSTOM_GROUP, STREAMS, is_custom, is_event_type, rfc3339};
use crate::store::{EventFilter, EventRow, Page, TypeStats};

/// An event and what became of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d", "stream": "user:events", "entryId": "1763719200000-0",
    "eventType": "user.created", "payload": {"username": "ada"}, "userId": "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f",
    "createdAt": "2026-11-21T10:00:00Z", "processed": true, "processedAt": "2026-11-21T10:00:00.1Z",
    "consumer": "member-1", "attempts": 1, "error": null, "deadLetteredAt": null,
}))]
pub(super) struct EventView {
    /// Its id: `messageId` of the answer that published it.
    id: String,
    /// Its stream.
    stream: String,
    /// Its place on the stream; null while it is in the outbox.
    entry_id: Option<String>,
    /// Its type.
    event_type: String,
    /// Its payload.
    #[schema(value_type = Object)]
    payload: Value,
    /// The user that it is about or from.
    user_id: Option<String>,
    /// When it was published.
    created_at: String,
    /// True once its effect is stored.
    processed: bool,
    /// When that was.
    processed_at: Option<String>,
    /// The member of the group that had it last.
    consumer: Option<String>,
    /// How often it was delivered.
    attempts: i64,
    /// Why it was not processed the last time.
    error: Option<String>,
    /// When it became a dead letter.
    dead_lettered_at: Option<String>,
}

impl From<EventRow> for EventView {
    fn from(row: EventRow) -> Self {
        Self {
            payload: serde_json::from_str(&row.payload).unwrap_or_default(),
            id: row.id,
            stream: row.stream,
            entry_id: row.entry_id,
            event_type: row.event_type,
            user_id: row.user_id,
            created_at: rfc3339(row.created_at),
            processed: row.processed,
            processed_at: row.processed_at.map(rfc3339),
            consumer: row.consumer,
            attempts: row.attempts,
            error: row.error,
            dead_lettered_at: row.dead_lettered_at.map(rfc3339),
        }
    }
}

/// A page of events.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventPage {
    /// The events, the newest first.
    events: Vec<EventView>,
    /// How many match.
    #[schema(example = 1)]
    total: i64,
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this type.
    #[param(pattern = "^[A-Za-z0-9._:-]{1,100}$")]
    event_type: Option<String>,
    /// Processed, or not.
    processed: Option<bool>,
    /// On this stream.
    #[param(pattern = "^(user:events|chat:messages|task:queue|system:logs|custom:[a-z0-9._-]{1,64})$")]
    stream: Option<String>,
    /// The most events on the page.
    #[serde(default = "fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: u32,
    /// Events before the page.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1_000_000_000, default = 0)]
    offset: u32,
}

impl Check for Filter {
    fn check(&self, rules: &mut Rules) {
        check_page(rules, self.limit, self.offset);
        let holds = self.event_type.as_deref().is_none_or(is_event_type);
        rules.that(
            holds,
            "eventType",
            "must have 1 to 100 letters, digits, dots, colons, hyphens or underscores",
        );
        let is_stream = |name: &str| is_custom(name) || STREAMS.iter().any(|kind| kind.name == name);
        let rule = "must be one of the four streams, or a custom one";
        rules.that(self.stream.as_deref().is_none_or(is_stream), "stream", rule);
    }
}

/// How many events there are, by what became of them.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(super) struct Counts {
    /// All of them.
    #[schema(example = 3)]
    total: i64,
    /// Their effect is stored.
    #[schema(example = 2)]
    processed: i64,
    /// Not tried yet.
    #[schema(example = 1)]
    pending: i64,
    /// Tried in vain: to be tried again, or dead letters.
    #[schema(example = 0)]
    errors: i64,
}

impl Counts {
    fn add(&mut self, of: &TypeStats) {
        self.total += of.processed + of.pending + of.errors;
        self.processed += of.processed;
        self.pending += of.pending;
        self.errors += of.errors;
    }
}

/// The events of one type.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct CountsOfType {
    /// The type.
    #[schema(example = "user.created")]
    event_type: String,
    #[serde(flatten)]
    counts: Counts,
}

/// The events of one stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountsOfStream {
    /// The stream.
    #[schema(example = "user:events")]
    stream: String,
    #[serde(flatten)]
    counts: Counts,
}

/// What the consumer groups have made of the events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Effects {
    /// Changes in the projection of users.
    #[schema(example = 2)]
    user_changes: i64,
    /// Messages in rooms.
    #[schema(example = 0)]
    chat_messages: i64,
    /// Changes in the states of tasks.
    #[schema(example = 0)]
    task_changes: i64,
    /// Lines of logs.
    #[schema(example = 0)]
    log_lines: i64,
}

/// What a simple consumer has counted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TallyView {
    /// Its name.
    #[schema(example = "tally")]
    reader: String,
    /// Entries of all streams.
    #[schema(example = 2)]
    entries: i64,
}

/// How many events there are.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsView {
    #[serde(flatten)]
    counts: Counts,
    /// By type.
    by_type: Vec<CountsOfType>,
    /// By stream.
    by_stream: Vec<CountsOfStream>,
    /// What the consumer groups have made of them.
    effects: Effects,
    /// What the simple consumers have counted.
    tallies: Vec<TallyView>,
}

/// A stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamInfo {
    /// Its name.
    #[schema(example = "user:events")]
    name: String,
    /// Its consumer group.
    #[schema(example = "user-processing-group")]
    group: &'static str,
    /// The types of the events that the service publishes there; none for a custom stream.
    #[schema(example = json!(["user.created", "user.updated", "user.deleted"]))]
    event_types: &'static [&'static str],
}

/// What can be published where, and who works on it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    /// The streams, custom ones included.
    streams: Vec<StreamInfo>,
    /// The types of events of the service.
    #[schema(example = json!(["user.created"]))]
    types: Vec<&'static str>,
    /// The consumer groups.
    #[schema(example = json!(["user-processing-group"]))]
    groups: Vec<&'static str>,
}

/// Lists events with what became of them
#[utoipa::path(get, path = "/api/events/processed", tag = "audit", operation_id = "listEvents", params(Filter),
    responses((status = 200, description = "A page of events.", body = EventPage)))]
pub(super) async fn processed(
    State(app): State<App>,
    Params(filter): Params<Filter>,
) -> Result<Json<EventPage>, Failure> {
    let page = Page { limit: filter.limit.into(), offset: filter.offset.into() };
    let filter = EventFilter {
        event_type: filter.event_type,
        stream: filter.stream,
        processed: filter.processed,
        user_id: None,
    };
    let (events, total) = app.store.events(&filter, page).await?;
    Ok(Json(EventPage { events: events.into_iter().map(EventView::from).collect(), total }))
}

/// Counts events
#[utoipa::path(get, path = "/api/events/stats", tag = "audit", operation_id = "eventStats",
    responses((status = 200, description = "The counts; they add up.", body = StatsView)))]
pub(super) async fn stats(State(app): State<App>) -> Result<Json<StatsView>, Failure> {
    let stats = app.store.stats().await?;
    let mut counts = Counts::default();
    let (mut by_type, mut by_stream) = (BTreeMap::<String, Counts>::new(), BTreeMap::<String, Counts>::new());
    for of in &stats.types {
        counts.add(of);
        by_type.entry(of.event_type.clone()).or_default().add(of);
        by_stream.entry(of.stream.clone()).or_default().add(of);
    }
    Ok(Json(StatsView {
        counts,
        by_type: by_type
            .into_iter()
            .map(|(event_type, counts)| CountsOfType { event_type, counts })
            .collect(),
        by_stream: by_stream.into_iter().map(|(stream, counts)| CountsOfStream { stream, counts }).collect(),
        effects: Effects {
            user_changes: stats.user_changes,
            chat_messages: stats.chat_messages,
            task_changes: stats.task_changes,
            log_lines: stats.log_lines,
        },
        tallies: stats.tallies.into_iter().map(|(reader, entries)| TallyView { reader, entries }).collect(),
    }))
}

/// Lists streams, types of events and groups
#[utoipa::path(get, path = "/api/events/info", tag = "audit", operation_id = "eventInfo",
    responses((status = 200, description = "What can be published where.", body = Info)))]
pub(super) async fn info(State(app): State<App>) -> Result<Json<Info>, Failure> {
    let custom = app.store.custom_streams().await?;
    let own = STREAMS.iter().map(|kind| StreamInfo {
        name: kind.name.to_owned(),
        group: kind.group,
        event_types: kind.types,
    });
    let custom = custom.into_iter().map(|name| StreamInfo { name, group: CUSTOM_GROUP, event_types: &[] });
    Ok(Json(Info {
        streams: own.chain(custom).collect(),
        types: STREAMS.iter().flat_map(|kind| kind.types.iter().copied()).collect(),
        groups: STREAMS.iter().map(|kind| kind.group).chain([CUSTOM_GROUP]).collect(),
    }))
}
