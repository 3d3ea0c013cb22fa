use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use jiff::Timestamp;
use serde::Serialize;
use streamgate::envelope::Problem;
use streamgate::fields::Fields;
use streamgate::stream::{ConsumerHealth, EntryId, EntrySummary, GroupHealth, StreamHealth, StreamKey};
use utoipa::ToSchema;

use super::description::ProblemSchema;
use super::{Operations, unavailable};

/// A stream at this moment.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamReport {
    /// Its name.
    #[schema(example = "weather-requests")]
    name: String,
    /// Entries it holds.
    #[schema(example = 1042)]
    length: u64,
    /// Memory it takes, in bytes.
    #[schema(example = 401_336)]
    bytes: u64,
    /// The oldest entry, if any.
    first: Option<EntryReport>,
    /// The newest entry, if any.
    last: Option<EntryReport>,
    /// Its consumer groups.
    groups: Vec<GroupReport>,
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryReport {
    /// Its id.
    #[schema(example = "1763683200000-0")]
    id: String,
    /// When it was added, by the id.
    #[schema(value_type = String, format = DateTime, example = "2025-11-21T00:00:00Z")]
    time: Option<Timestamp>,
    /// Its fields as text; bytes that are no UTF-8 are replaced, and of fields of one name the first
    /// is shown (an entry may hold several replies). Absent for dead letters in an overview: they are
    /// behind the admin token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fields: Option<BTreeMap<String, String>>,
}

/// One consumer group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GroupReport {
    /// Its name.
    #[schema(example = "weather-workers")]
    name: String,
    /// Entries delivered and not acknowledged.
    #[schema(example = 3)]
    pending: u64,
    /// Entries not delivered yet; null when Redis cannot tell.
    #[schema(example = 0)]
    lag: Option<u64>,
    /// The last entry delivered.
    #[schema(example = "1763683200000-0")]
    last_delivered_id: String,
    /// Age of the oldest entry that is not acknowledged, in seconds; 0 when all are.
    #[schema(example = 0.12)]
    oldest_age_seconds: f64,
    /// True if nobody reads it although there is work: trimming stops there.
    abandoned: bool,
    /// Its consumers.
    consumers: Vec<ConsumerReport>,
}

/// One consumer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ConsumerReport {
    /// Its name.
    #[schema(example = "weather-worker-1")]
    name: String,
    /// Entries it holds.
    #[schema(example = 3)]
    pending: u64,
    /// Seconds since its last sign of life.
    #[schema(example = 0.4)]
    idle_seconds: f64,
    /// True if that is shorter than CONSUMER_GRACE.
    alive: bool,
}

/// Length, first and last entry, groups, consumers, pending entries, lag and oldest age of a
/// configured stream: the request stream, the reply stream and its lanes, the dead letters.
#[utoipa::path(
    get,
    path = "/streams/{name}",
    tag = "streams",
    params(("name" = String, Path, description = "Name of a configured stream", example = "weather-requests")),
    responses(
        (status = 200, description = "The stream; empty if nothing was ever added.", body = StreamReport),
        (status = 400, description = "The name is no text in UTF-8.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 404, description = "Not one of the configured streams.", body = ProblemSchema, content_type = "application/problem+json"),
        (status = 503, description = "Redis does not answer.", body = ProblemSchema, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream(
    State(operations): State<Operations>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<StreamReport>, Problem> {
    let Path(name) = name.map_err(|rejection| Problem::new(400, rejection.body_text()))?;
    let key = operations.configured(&name)?;
    let health = StreamHealth::read(&operations.redis, &key).await.map_err(|error| unavailable(&error))?;
    let grace = operations.group.settings().grace;
    let is_public = key != *operations.group.dead_letters().key();
    Ok(Json(match health {
        Some(health) => StreamReport::of(name, health, grace, is_public),
        None => StreamReport { name, length: 0, bytes: 0, first: None, last: None, groups: Vec::new() },
    }))
}

impl Operations {
    /// The stream called `name`, if it is one of ours: no text of a caller becomes a key.
    fn configured(&self, name: &str) -> Result<StreamKey, Problem> {
        let dead_letters = self.group.dead_letters().key();
        for key in [&self.request_stream, &self.reply_stream, dead_letters] {
            if key.as_str() == name {
                return Ok(key.clone());
            }
        }
        if self.reply_stream.is_or_has_lane(name)
            && let Ok(lane) = name.parse()
        {
            return Ok(lane);
        }
        let (requests, replies) = (&self.request_stream, &self.reply_stream);
        let detail = format!(
            "this is none of the configured streams: {requests}, {replies} (and its lanes), {dead_letters}"
        );
        Err(Problem::new(404, detail))
    }
}

impl StreamReport {
    fn of(name: String, health: StreamHealth, grace: Duration, is_public: bool) -> Self {
        let entry = |entry: EntrySummary| match is_public {
            true => EntryReport::of(entry.id, &entry.fields),
            false => EntryReport::without_fields(entry.id),
        };
        Self {
            name,
            length: health.length,
            bytes: health.bytes,
            first: health.first.map(entry),
            last: health.last.map(entry),
            groups: health.groups.into_iter().map(|group| GroupReport::of(group, grace)).collect(),
        }
    }
}

impl EntryReport {
    pub(super) fn of(id: EntryId, fields: &Fields) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut shown = BTreeMap::new();
        for (name, value) in fields.iter() {
            shown.entry(text(name)).or_insert_with(|| text(value));
        }
        Self { fields: Some(shown), ..Self::without_fields(id) }
    }

    /// What may be known of an entry that is not for everybody.
    fn without_fields(id: EntryId) -> Self {
        Self {
            id: id.to_string(),
            time: i64::try_from(id.ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            fields: None,
        }
    }
}

impl GroupReport {
    fn of(group: GroupHealth, grace: Duration) -> Self {
        Self {
            pending: group.pending,
            lag: group.lag,
            last_delivered_id: group.last_delivered.to_string(),
            oldest_age_seconds: group.oldest_age.as_secs_f64(),
            abandoned: group.is_abandoned(grace),
            consumers: group.consumers.iter().map(|consumer| ConsumerReport::of(consumer, grace)).collect(),
            name: group.name,
        }
    }
}

impl ConsumerReport {
    fn of(consumer: &ConsumerHealth, grace: Duration) -> Self {
        Self {
            name: consumer.name.clone(),
            pending: consumer.pending,
            idle_seconds: consumer.idle.as_secs_f64(),
            alive: consumer.idle < grace,
        }
    }
}
