//! Streams, groups and the Redis server, as they are now.

use std::future::Future;
use std::ops::Bound;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use streamgate::connection::{Error as RedisError, ServerInfo};
use streamgate::stream::{EntryId, GroupHealth, ReadError, RedisStream, Thresholds};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::failure::Failure;
use super::input::{Check, Name, Params, Rules};
use crate::model::STREAMS;

/// The longest wait for Redis.
const PATIENCE: Duration = Duration::from_secs(3);

async fn in_time<T, E>(asking: impl Future<Output = Result<T, E>>) -> Result<T, Failure>
where
    Failure: From<E>,
{
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Failure::redis_is_late()),
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        tracing::warn!(%error, "a stream cannot be read");
        Self::new(503, "the stream cannot be read now: try again later")
    }
}

/// A stream in short.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamSummary {
    /// Its name.
    #[schema(example = "user:events")]
    name: String,
    /// Entries on it.
    #[schema(example = 12)]
    length: u64,
    /// Groups of it.
    #[schema(example = 1)]
    groups: usize,
    /// Entries delivered and not acknowledged, of all groups.
    #[schema(example = 0)]
    pending: u64,
    /// Entries not delivered yet, of all groups; null if Redis does not know.
    #[schema(example = 0)]
    lag: Option<u64>,
}

/// All streams.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StreamList {
    streams: Vec<StreamSummary>,
}

/// One stream.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamDetail {
    /// Its name.
    #[schema(example = "user:events")]
    name: String,
    /// Entries on it.
    #[schema(example = 12)]
    length: u64,
    /// Its size in bytes.
    #[schema(example = 4_096)]
    bytes: u64,
    /// The id of the oldest entry.
    #[schema(example = "1763719200000-0")]
    first_entry_id: Option<String>,
    /// The id of the newest entry.
    #[schema(example = "1763719200123-0")]
    last_entry_id: Option<String>,
    /// Its dead letters.
    #[schema(example = 0)]
    dead_letters: u64,
    /// What is wrong with it, and what to do.
    issues: Vec<IssueView>,
    /// Its groups.
    groups: Vec<GroupView>,
}

/// Something that is wrong with a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct IssueView {
    /// What it is about.
    #[schema(example = "consumers")]
    code: String,
    /// What is wrong and what to do.
    #[schema(example = "group user-processing-group has 0 consumers")]
    text: String,
}

/// The groups of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GroupList {
    groups: Vec<GroupView>,
}

/// A consumer group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupView {
    /// Its name.
    #[schema(example = "user-processing-group")]
    name: String,
    /// Entries delivered and not acknowledged.
    #[schema(example = 0)]
    pending: u64,
    /// Entries not delivered yet; null if Redis does not know.
    #[schema(example = 0)]
    lag: Option<u64>,
    /// The last entry delivered.
    #[schema(example = "1763719200123-0")]
    last_delivered_id: String,
    /// Its members.
    consumers: Vec<ConsumerView>,
}

/// A member of a consumer group.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConsumerView {
    /// Its name.
    #[schema(example = "member-1")]
    name: String,
    /// Entries that it holds.
    #[schema(example = 0)]
    pending: u64,
    /// Milliseconds since its last sign of life.
    #[schema(example = 350)]
    idle_ms: u64,
}

impl From<GroupHealth> for GroupView {
    fn from(group: GroupHealth) -> Self {
        let consumers = group.consumers.into_iter().map(|consumer| ConsumerView {
            name: consumer.name,
            pending: consumer.pending,
            idle_ms: consumer.idle.as_millis() as u64,
        });
        Self {
            name: group.name,
            pending: group.pending,
            lag: group.lag,
            last_delivered_id: group.last_delivered.to_string(),
            consumers: consumers.collect(),
        }
    }
}

/// In which order entries come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// The oldest first.
    #[default]
    Forward,
    /// The newest first.
    Backward,
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Range {
    /// The least id; without it, the oldest.
    #[param(pattern = "^[0-9]{1,19}-[0-9]{1,19}$")]
    start: Option<String>,
    /// The greatest id; without it, the newest.
    #[param(pattern = "^[0-9]{1,19}-[0-9]{1,19}$")]
    end: Option<String>,
    /// The most entries.
    #[serde(default = "super::users::fifty")]
    #[param(minimum = 1, maximum = 200, default = 50)]
    count: u32,
    /// The order; the default is `forward`.
    #[serde(default)]
    #[param(inline)]
    direction: Direction,
}

impl Check for Range {
    fn check(&self, rules: &mut Rules) {
        rules.that((1..=200).contains(&self.count), "count", "must be from 1 to 200");
        for (name, id) in [("start", &self.start), ("end", &self.end)] {
            let holds = id.as_ref().is_none_or(|id| id.parse::<EntryId>().is_ok());
            rules.that(holds, name, "must be an entry id such as 1763719200000-0");
        }
    }
}

impl Range {
    fn bounds(&self) -> (Bound<EntryId>, Bound<EntryId>) {
        let bound = |id: &Option<String>| match id.as_ref().and_then(|id| id.parse().ok()) {
            Some(id) => Bound::Included(id),
            None => Bound::Unbounded,
        };
        (bound(&self.start), bound(&self.end))
    }
}

/// Entries of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Messages {
    messages: Vec<MessageView>,
    /// How many are here.
    #[schema(example = 1)]
    count: usize,
}

/// An entry.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MessageView {
    /// Its id.
    #[schema(example = "1763719200123-0")]
    id: String,
    /// Its fields; bytes that are no UTF-8 are replaced.
    #[schema(value_type = Object, example = json!({"eventType": "user.created", "payload": "{\"username\": \"ada\"}"}))]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// The Redis server.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RedisInfo {
    /// Its version.
    #[schema(example = "7.2.4")]
    version: String,
    /// Seconds since its start.
    #[schema(example = 86_400)]
    uptime_seconds: u64,
    /// Connected clients.
    #[schema(example = 12)]
    clients: u64,
    /// Bytes of memory in use.
    #[schema(example = 1_048_576)]
    memory_bytes: u64,
    /// Commands processed since its start.
    #[schema(example = 5_000)]
    commands: u64,
}

/// How fast Redis answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ping {
    /// Milliseconds from the question to the answer.
    #[schema(example = 0.21)]
    latency_ms: f64,
}

/// Lists the streams
#[utoipa::path(get, path = "/api/monitoring/streams", tag = "monitoring", operation_id = "listStreams",
    responses((status = 200, description = "All streams.", body = StreamList)))]
pub(super) async fn streams(State(app): State<App>) -> Result<Json<StreamList>, Failure> {
    let custom = app.store.custom_streams().await?;
    let mut streams = Vec::new();
    for name in STREAMS.iter().map(|kind| kind.name.to_owned()).chain(custom) {
        let stream = stream(&app, &name)?;
        let (length, groups) =
            in_time(async { Ok::<_, RedisError>((stream.len().await?, stream.groups().await?)) }).await?;
        streams.push(StreamSummary {
            name,
            length,
            groups: groups.len(),
            pending: groups.iter().map(|group| group.pending).sum(),
            lag: groups.iter().map(|group| group.lag).sum(),
        });
    }
    Ok(Json(StreamList { streams }))
}

/// Shows a stream
#[utoipa::path(get, path = "/api/monitoring/streams/{name}", tag = "monitoring", operation_id = "getStream",
    params(("name" = String, Path, description = "The name of the stream", example = "user:events")),
    responses((status = 200, description = "The stream; all counts are 0 before its first event.", body = StreamDetail)))]
pub(super) async fn one(State(app): State<App>, Name(name): Name) -> Result<Json<StreamDetail>, Failure> {
    let stream = known(&app, &name).await?;
    let (health, info, dead_letters) = in_time(async {
        let health = stream.health(&Thresholds::default()).await?;
        Ok::<_, RedisError>((health, stream.info().await?, stream.dead_letters().count().await?))
    })
    .await?;
    let id = |entry: Option<streamgate::stream::Entry>| entry.map(|entry| entry.id.to_string());
    let (first_entry_id, last_entry_id) = info.map_or((None, None), |info| (id(info.first), id(info.last)));
    let issues =
        health.issues.iter().map(|issue| IssueView { code: issue.code.to_string(), text: issue.to_string() });
    let issues = issues.collect();
    let (length, bytes, groups) =
        health.state.map_or((0, 0, Vec::new()), |state| (state.length, state.bytes, state.groups));
    let groups = groups.into_iter().map(GroupView::from).collect();
    Ok(Json(StreamDetail {
        name,
        length,
        bytes,
        first_entry_id,
        last_entry_id,
        dead_letters,
        issues,
        groups,
    }))
}

/// Lists the groups of a stream
#[utoipa::path(get, path = "/api/monitoring/streams/{name}/groups", tag = "monitoring", operation_id = "listGroups",
    params(("name" = String, Path, description = "The name of the stream", example = "user:events")),
    responses((status = 200, description = "The groups.", body = GroupList)))]
pub(super) async fn groups(State(app): State<App>, Name(name): Name) -> Result<Json<GroupList>, Failure> {
    let groups = in_time(known(&app, &name).await?.groups()).await?;
    Ok(Json(GroupList { groups: groups.into_iter().map(GroupView::from).collect() }))
}

/// Lists the entries of a stream
#[utoipa::path(get, path = "/api/monitoring/streams/{name}/messages", tag = "monitoring", operation_id = "listMessages",
    params(("name" = String, Path, description = "The name of the stream", example = "user:events"), Range),
    responses((status = 200, description = "The entries.", body = Messages)))]
pub(super) async fn messages(
    State(app): State<App>,
    Name(name): Name,
    Params(range): Params<Range>,
) -> Result<Json<Messages>, Failure> {
    let stream = known(&app, &name).await?;
    let mut entries = match range.direction {
        Direction::Forward => stream.range(range.bounds()),
        Direction::Backward => stream.rev_range(range.bounds()),
    };
    let reading = async {
        let mut messages = Vec::new();
        while messages.len() < range.count as usize
            && let Some(entry) = entries.next().await
        {
            let entry = entry?;
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let fields = entry.value.iter().map(|(name, value)| (text(name), text(value).into())).collect();
            messages.push(MessageView { id: entry.id.to_string(), fields });
        }
        Ok::<_, ReadError>(messages)
    };
    let messages = in_time(reading).await?;
    Ok(Json(Messages { count: messages.len(), messages }))
}

/// Shows what the Redis server says of itself
#[utoipa::path(get, path = "/api/monitoring/redis/info", tag = "monitoring", operation_id = "redisInfo",
    responses((status = 200, description = "The server.", body = RedisInfo)))]
pub(super) async fn redis_info(State(app): State<App>) -> Result<Json<RedisInfo>, Failure> {
    let info = in_time(ServerInfo::read(&app.redis)).await?;
    Ok(Json(RedisInfo {
        version: info.version,
        uptime_seconds: info.uptime.as_secs(),
        clients: info.clients,
        memory_bytes: info.memory,
        commands: info.commands,
    }))
}

/// Measures how fast Redis answers
#[utoipa::path(get, path = "/api/monitoring/redis/ping", tag = "monitoring", operation_id = "redisPing",
    responses((status = 200, description = "Redis has answered.", body = Ping)))]
pub(super) async fn redis_ping(State(app): State<App>) -> Result<Json<Ping>, Failure> {
    let latency = in_time(app.redis.ping()).await?;
    Ok(Json(Ping { latency_ms: latency.as_micros() as f64 / 1_000.0 }))
}

/// A stream of the service. Text of a caller never becomes a key.
async fn known(app: &App, name: &str) -> Result<RedisStream, Failure> {
    let is_known = STREAMS.iter().any(|kind| kind.name == name)
        || app.store.custom_streams().await?.iter().any(|custom| custom == name);
    match is_known {
        true => stream(app, name),
        false => Err(Failure::not_found("there is no stream of this name: see /api/events/info")),
    }
}

fn stream(app: &App, name: &str) -> Result<RedisStream, Failure> {
    RedisStream::new(&app.redis, name).map_err(|rule| Failure::not_found(format!("the name {rule}")))
}
