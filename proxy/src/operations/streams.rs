use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, HeaderMap};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use service::http::ProblemAnswer;
use streamgate::fields::Fields;
use streamgate::stream::{ConsumerHealth, EntryId, EntrySummary, GroupHealth, StreamHealth, StreamKey};
use utoipa::ToSchema;

use super::access::{NO_TOKEN, shows_values};
use super::description::OfStream;
use super::{Operations, unavailable};
use crate::streams::ServedQueue;

/// The current state of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamReport {
    /// Its name.
    #[schema(example = "weather-requests")]
    name: String,
    /// Number of its entries.
    #[schema(example = 1042)]
    length: u64,
    /// Its memory in bytes.
    #[schema(example = 401_336)]
    bytes: u64,
    /// The oldest entry, if any.
    first: Option<EntryReport>,
    /// The newest entry, if any.
    last: Option<EntryReport>,
    /// Its consumer groups.
    groups: Vec<GroupReport>,
    /// How to see the values of fields; absent if they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    note: Option<&'static str>,
}

/// How to see the values of fields if the process has no admin token.
const OFF: &str = "the values of fields need the admin token: set ADMIN_TOKEN for this process";

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryReport {
    /// Its id.
    #[schema(example = "1763683200000-0")]
    id: String,
    /// The time at which it was added, from its id.
    #[schema(value_type = String, format = DateTime, example = "2025-11-21T00:00:00Z")]
    time: Option<Timestamp>,
    /// Its fields as text; bytes that are not UTF-8 are replaced. If several fields have one name, the
    /// first is shown (an entry may hold several replies). Absent without the admin token.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    fields: Option<BTreeMap<String, String>>,
    /// Without the admin token: the size of each field's value, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field_sizes: Option<BTreeMap<String, usize>>,
}

/// One consumer group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct GroupReport {
    /// Its name.
    #[schema(example = "weather-workers")]
    name: String,
    /// Number of entries that are delivered and not acknowledged.
    #[schema(example = 3)]
    pending: u64,
    /// Number of entries that are not delivered yet; null if Redis cannot tell.
    #[schema(example = 0)]
    lag: Option<u64>,
    /// The last entry delivered.
    #[schema(example = "1763683200000-0")]
    last_delivered_id: String,
    /// Age in seconds of the oldest entry that is not acknowledged; 0 if all are acknowledged.
    #[schema(example = 0.12)]
    oldest_age_seconds: f64,
    /// True if no consumer reads the group although entries wait. Trimming then keeps these entries.
    #[schema(example = false)]
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
    /// Number of its pending entries.
    #[schema(example = 3)]
    pending: u64,
    /// Seconds since the consumer last read or claimed.
    #[schema(example = 0.4)]
    idle_seconds: f64,
    /// True if `idleSeconds` is shorter than CONSUMER_GRACE.
    alive: bool,
}

/// Shows a stream and its consumer groups (the token is optional)
///
/// Shows length, first and last entry, groups, consumers, pending entries, lag and oldest age of a
/// configured stream: a request stream, the reply stream, one of its lanes, or dead letters. The
/// values of fields need the admin token.
#[utoipa::path(
    get,
    path = "/streams/{name}",
    tag = "streams",
    params(("name" = String, Path, description = "Name of a configured stream", example = "weather-requests")),
    responses(
        (status = 200, description = "The stream; empty if it has no entry yet.", body = StreamReport),
        OfStream,
    ),
    security((), ("bearer" = []))
)]
pub(super) async fn stream(
    State(operations): State<Operations>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, ProblemAnswer> {
    let token = operations.admin_token.as_ref();
    let shows_values = match shows_values(token, &headers) {
        Ok(shows_values) => shows_values,
        Err(refusal) => return Ok(*refusal),
    };
    let note = (!shows_values).then_some(if token.is_some() { NO_TOKEN } else { OFF });
    let Path(name) =
        name.map_err(|_| ProblemAnswer::new(400, "the name of the stream must be text in UTF-8"))?;
    let key = operations.configured(&name)?;
    let health = StreamHealth::read(&operations.redis, &key).await.map_err(|error| unavailable(&error))?;
    let grace = operations.grace;
    let report = match health {
        Some(health) => StreamReport::of(name, health, grace, note),
        None => StreamReport { name, length: 0, bytes: 0, first: None, last: None, groups: Vec::new(), note },
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(report)).into_response())
}

/// One stream that this worker serves.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServedReport {
    /// Its name.
    #[schema(example = "weather-requests")]
    name: String,
    /// The consumer group of its workers.
    #[schema(example = "weather-workers")]
    group: String,
    /// Its dead letters.
    #[schema(example = "{weather-requests}:dlq")]
    dead_letters: String,
    /// The upstreams that do its work; empty for the weather, which is built in.
    #[schema(example = json!([]))]
    upstreams: Vec<String>,
    /// True while the circuit of its upstream is open: this worker takes no entries, and they keep their place.
    #[schema(example = false)]
    paused: bool,
}

/// Lists the streams that this worker serves
///
/// Each with its consumer group, its dead letters and the upstreams that do its work. It sends no command to Redis.
#[utoipa::path(
    get,
    path = "/streams",
    tag = "streams",
    responses((status = 200, description = "The streams, sorted by name.", body = Vec<ServedReport>))
)]
pub(super) async fn list(State(operations): State<Operations>) -> Json<Vec<ServedReport>> {
    let report = |queue: ServedQueue| ServedReport {
        name: queue.key().to_string(),
        group: queue.group.settings().group.clone(),
        dead_letters: queue.group.dead_letters().key().to_string(),
        upstreams: queue.upstreams(),
        paused: queue.is_paused(),
    };
    Json(operations.served.queues().into_iter().map(report).collect())
}

impl Operations {
    /// The stream called `name`, if it is a configured one: text from a caller never becomes a key.
    fn configured(&self, name: &str) -> Result<StreamKey, ProblemAnswer> {
        let queues = self.served.queues();
        for queue in &queues {
            if queue.key().as_str() == name {
                return Ok(queue.key().clone());
            }
            if queue.group.dead_letters().key().as_str() == name {
                return Ok(queue.group.dead_letters().key().clone());
            }
        }
        if self.reply_stream.is_or_has_lane(name)
            && let Ok(lane) = name.parse()
        {
            return Ok(lane);
        }
        let requests = queues.iter().map(|queue| queue.key().to_string());
        let dead_letters = queues.iter().map(|queue| queue.group.dead_letters().key().to_string());
        let replies = format!("{} (and its lanes)", self.reply_stream);
        let names: Vec<String> = requests.chain([replies]).chain(dead_letters).collect();
        let detail = format!("there is no configured stream of this name; there are: {}", names.join(", "));
        Err(ProblemAnswer::new(404, detail))
    }
}

impl StreamReport {
    fn of(name: String, health: StreamHealth, grace: Duration, note: Option<&'static str>) -> Self {
        let entry = |entry: EntrySummary| match note {
            None => EntryReport::of(entry.id, &entry.fields),
            Some(_) => EntryReport::without_values(entry.id, &entry.fields),
        };
        Self {
            name,
            length: health.length,
            bytes: health.bytes,
            first: health.first.map(entry),
            last: health.last.map(entry),
            groups: health.groups.into_iter().map(|group| GroupReport::of(group, grace)).collect(),
            note,
        }
    }
}

impl EntryReport {
    pub(super) fn of(id: EntryId, fields: &Fields) -> Self {
        let shown = by_name(fields, |value| String::from_utf8_lossy(value).into_owned());
        Self { fields: Some(shown), ..Self::bare(id) }
    }

    /// The data of an entry that needs no admin token.
    fn without_values(id: EntryId, fields: &Fields) -> Self {
        Self { field_sizes: Some(by_name(fields, <[u8]>::len)), ..Self::bare(id) }
    }

    fn bare(id: EntryId) -> Self {
        Self {
            id: id.to_string(),
            time: i64::try_from(id.ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            fields: None,
            field_sizes: None,
        }
    }
}

/// Maps the first value of each field name.
fn by_name<T>(fields: &Fields, of: impl Fn(&[u8]) -> T) -> BTreeMap<String, T> {
    let mut shown = BTreeMap::new();
    for (name, value) in fields.iter() {
        shown.entry(String::from_utf8_lossy(name).into_owned()).or_insert_with(|| of(value));
    }
    shown
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
