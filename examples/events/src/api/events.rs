//! Messages, log lines and events of one's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::failure::Failure;
use super::input::{Check, Input, Rules};
use super::users::Published;
use crate::model::{NewEvent, STREAMS, is_custom, is_event_type};

/// A message to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"senderId": "ada", "receiverId": "grace", "content": "Hello!", "roomId": "general"}))]
pub(super) struct NewMessage {
    /// Who writes it.
    #[schema(pattern = "^[!-~]{1,100}$")]
    sender_id: String,
    /// Who gets it.
    #[schema(pattern = "^[!-~]{1,100}$")]
    receiver_id: String,
    /// Its text.
    #[schema(min_length = 1, max_length = 4_000, pattern = "^[^\\u0000]+$")]
    content: String,
    /// Its room.
    #[serde(default = "general")]
    #[schema(pattern = "^[!-~]{1,100}$", default = "general")]
    room_id: String,
}

fn general() -> String {
    "general".to_owned()
}

impl Check for NewMessage {
    fn check(&self, rules: &mut Rules) {
        rules.name("senderId", &self.sender_id);
        rules.name("receiverId", &self.receiver_id);
        rules.name("roomId", &self.room_id);
        rules.text("content", &self.content, 4_000);
    }
}

/// A message that was sent.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SentMessage {
    /// The payload of the event `message.sent`.
    #[schema(value_type = Object, example = json!({
        "messageId": "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d", "senderId": "ada", "receiverId": "grace",
        "content": "Hello!", "roomId": "general", "timestamp": "2026-11-21T10:00:00Z",
    }))]
    message: Value,
    /// The id of the event.
    #[schema(example = "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d")]
    message_id: String,
}

/// The level of a log line.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// For developers.
    Debug,
    /// The usual.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// A log line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"level": "error", "message": "The mill stopped.", "metadata": {"wheel": 7}}))]
pub(super) struct NewLogLine {
    /// Its level.
    level: Level,
    /// Its text.
    #[schema(min_length = 1, max_length = 4_000, pattern = "^[^\\u0000]+$")]
    message: String,
    /// More about it.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Map<String, Value>>,
}

impl Check for NewLogLine {
    fn check(&self, rules: &mut Rules) {
        rules.text("message", &self.message, 4_000);
    }
}

/// An event of one's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"streamName": "custom:orders", "eventType": "order.placed", "payload": {"cents": 250}}))]
pub(super) struct CustomEvent {
    /// One of the four streams, or a custom one. There may be 32 custom streams.
    #[schema(pattern = "^(user:events|chat:messages|task:queue|system:logs|custom:[a-z0-9._-]{1,64})$")]
    stream_name: String,
    /// Its type.
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,100}$")]
    event_type: String,
    /// Its payload. On the four streams, the types of the service must have their own payload; another payload makes
    /// the event a dead letter.
    #[schema(value_type = Object)]
    payload: serde_json::Map<String, Value>,
}

impl CustomEvent {
    fn check_as(&self, rules: &mut Rules, place: &str) {
        let known = STREAMS.iter().any(|kind| kind.name == self.stream_name);
        let rule = "must be user:events, chat:messages, task:queue, system:logs, or custom: with 1 to 64 of a-z 0-9 . _ -";
        rules.that(known || is_custom(&self.stream_name), &format!("{place}streamName"), rule);
        let rule = "must have 1 to 100 letters, digits, dots, colons, hyphens or underscores";
        rules.that(is_event_type(&self.event_type), &format!("{place}eventType"), rule);
    }

    fn into_event(self) -> NewEvent {
        NewEvent::custom(&self.stream_name, &self.event_type, &Value::Object(self.payload))
    }
}

impl Check for CustomEvent {
    fn check(&self, rules: &mut Rules) {
        self.check_as(rules, "");
    }
}

/// Events that are published together or not at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// The events.
    #[schema(min_items = 1, max_items = 100)]
    events: Vec<CustomEvent>,
}

impl Check for Batch {
    fn check(&self, rules: &mut Rules) {
        rules.that((1..=100).contains(&self.events.len()), "events", "must be 1 to 100 events");
        for (at, event) in self.events.iter().enumerate().take(100) {
            event.check_as(rules, &format!("events[{at}]."));
        }
    }
}

/// Events that were published.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PublishedBatch {
    /// The ids of the events, in the order of the request.
    #[schema(example = json!(["019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d"]))]
    message_ids: Vec<String>,
}

/// Sends a message
#[utoipa::path(post, path = "/api/events/chat", tag = "events", operation_id = "sendMessage", request_body = NewMessage,
    responses((status = 201, description = "The message will be published.", body = SentMessage)))]
pub(super) async fn chat(
    State(app): State<App>,
    Input(new): Input<NewMessage>,
) -> Result<(StatusCode, Json<SentMessage>), Failure> {
    let event = NewEvent::message_sent(&new.sender_id, &new.receiver_id, &new.content, &new.room_id);
    publish(&app, std::slice::from_ref(&event)).await?;
    let message = serde_json::from_str(&event.payload).unwrap_or_default();
    Ok((StatusCode::CREATED, Json(SentMessage { message, message_id: event.id })))
}

/// Writes a log line
///
/// A line of the level error is the event `system.error`, any other `system.info`.
#[utoipa::path(post, path = "/api/events/logs", tag = "events", operation_id = "writeLog", request_body = NewLogLine,
    responses((status = 201, description = "The line will be published.", body = Published)))]
pub(super) async fn log(
    State(app): State<App>,
    Input(new): Input<NewLogLine>,
) -> Result<(StatusCode, Json<Published>), Failure> {
    let level = match new.level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let metadata = new.metadata.map_or(Value::Null, Value::Object);
    let event = NewEvent::log_line(level, &new.message, &metadata, "events");
    published(&app, event).await
}

/// Publishes an event of one's own
#[utoipa::path(post, path = "/api/events/custom", tag = "events", operation_id = "publishCustom",
    request_body = CustomEvent,
    responses((status = 201, description = "The event will be published.", body = Published)))]
pub(super) async fn custom(
    State(app): State<App>,
    Input(new): Input<CustomEvent>,
) -> Result<(StatusCode, Json<Published>), Failure> {
    published(&app, new.into_event()).await
}

/// Publishes up to 100 events, all or none
#[utoipa::path(post, path = "/api/events/batch", tag = "events", operation_id = "publishBatch", request_body = Batch,
    responses((status = 201, description = "The events will be published.", body = PublishedBatch)))]
pub(super) async fn batch(
    State(app): State<App>,
    Input(new): Input<Batch>,
) -> Result<(StatusCode, Json<PublishedBatch>), Failure> {
    let events: Vec<NewEvent> = new.events.into_iter().map(CustomEvent::into_event).collect();
    publish(&app, &events).await?;
    let message_ids = events.into_iter().map(|event| event.id).collect();
    Ok((StatusCode::CREATED, Json(PublishedBatch { message_ids })))
}

async fn published(app: &App, event: NewEvent) -> Result<(StatusCode, Json<Published>), Failure> {
    publish(app, std::slice::from_ref(&event)).await?;
    Ok((StatusCode::CREATED, Json(Published { message_id: event.id })))
}

async fn publish(app: &App, events: &[NewEvent]) -> Result<(), Failure> {
    app.store.publish(events).await?;
    app.relay.wake();
    Ok(())
}
