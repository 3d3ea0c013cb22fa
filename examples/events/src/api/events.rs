//! Messages, tasks, log lines and events of one's own.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::App;
use super::failure::Failure;
use super::input::{Check, Id, Input, Rules};
use super::users::Published;
use crate::model::{
    Completion, NewEvent, Priority, STREAMS, Task, is_custom, is_event_type, new_id, now_ms, rfc3339,
};
use crate::store::Completed;

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

/// A task to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"title": "Check the engine", "assignedTo": "ada", "createdBy": "charles", "priority": "high"}))]
pub(super) struct NewTask {
    /// What is to be done.
    #[schema(min_length = 1, max_length = 200, pattern = "^[^\\u0000]+$")]
    title: String,
    /// Who is to do it.
    #[schema(pattern = "^[!-~]{1,100}$")]
    assigned_to: String,
    /// Who wants it done.
    #[schema(pattern = "^[!-~]{1,100}$")]
    created_by: String,
    /// The details.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4_000, pattern = "^[^\\u0000]+$")]
    description: Option<String>,
    /// The default is `medium`.
    #[serde(default)]
    priority: Option<Priority>,
    /// When it is to be done (RFC 3339).
    #[serde(default)]
    #[schema(format = "date-time")]
    due_date: Option<String>,
}

impl Check for NewTask {
    fn check(&self, rules: &mut Rules) {
        rules.text("title", &self.title, 200);
        rules.name("assignedTo", &self.assigned_to);
        rules.name("createdBy", &self.created_by);
        if let Some(description) = &self.description {
            rules.text("description", description, 4_000);
        }
        let is_time = self.due_date.as_ref().is_none_or(|text| text.parse::<jiff::Timestamp>().is_ok());
        rules.that(is_time, "dueDate", "must be a time such as 2026-11-21T10:00:00Z (RFC 3339)");
    }
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "id": "019ab8f4-7c1d-7e52-9f4e-3a5d1c2b4e6f", "title": "Check the engine", "description": null,
    "priority": "high", "assignedTo": "ada", "createdBy": "charles", "dueDate": null,
    "createdAt": "2026-11-21T10:00:00Z", "completedAt": null, "completedBy": null, "completionNotes": null,
}))]
pub(super) struct TaskView {
    id: String,
    title: String,
    description: Option<String>,
    priority: Priority,
    assigned_to: String,
    created_by: String,
    due_date: Option<String>,
    created_at: String,
    completed_at: Option<String>,
    completed_by: Option<String>,
    completion_notes: Option<String>,
}

impl From<Task> for TaskView {
    fn from(task: Task) -> Self {
        let (by, notes, at) = match task.completion {
            Some(done) => (Some(done.by), done.notes, Some(rfc3339(done.at))),
            None => (None, None, None),
        };
        Self {
            id: task.id,
            title: task.title,
            description: task.description,
            priority: task.priority,
            assigned_to: task.assigned_to,
            created_by: task.created_by,
            due_date: task.due_date,
            created_at: rfc3339(task.created_at),
            completed_at: at,
            completed_by: by,
            completion_notes: notes,
        }
    }
}

/// A task after a change.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangedTask {
    task: TaskView,
    /// The id of the event.
    #[schema(example = "019ab8f4-7c1e-7001-8d2a-0c6f6a1b2c3d")]
    message_id: String,
}

/// How a task was completed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({"completedBy": "ada", "completionNotes": "It computes."}))]
pub(super) struct TaskDone {
    /// Who did it.
    #[schema(pattern = "^[!-~]{1,100}$")]
    completed_by: String,
    /// What there is to say.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 4_000, pattern = "^[^\\u0000]+$")]
    completion_notes: Option<String>,
}

impl Check for TaskDone {
    fn check(&self, rules: &mut Rules) {
        rules.name("completedBy", &self.completed_by);
        if let Some(notes) = &self.completion_notes {
            rules.text("completionNotes", notes, 4_000);
        }
    }
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

/// Creates a task
#[utoipa::path(post, path = "/api/events/tasks", tag = "events", operation_id = "createTask", request_body = NewTask,
    responses((status = 201, description = "The task is stored, and its event will be published.", body = ChangedTask)))]
pub(super) async fn create_task(
    State(app): State<App>,
    Input(new): Input<NewTask>,
) -> Result<(StatusCode, Json<ChangedTask>), Failure> {
    let task = Task {
        id: new_id(),
        title: new.title,
        description: new.description,
        priority: new.priority.unwrap_or_default(),
        assigned_to: new.assigned_to,
        created_by: new.created_by,
        due_date: new.due_date,
        created_at: now_ms(),
        completion: None,
    };
    let message_id = app.store.create_task(&task).await?;
    app.relay.wake();
    Ok((StatusCode::CREATED, Json(ChangedTask { task: task.into(), message_id })))
}

/// Completes a task
#[utoipa::path(post, path = "/api/events/tasks/{id}/complete", tag = "events", operation_id = "completeTask",
    request_body = TaskDone,
    params(("id" = String, Path, description = "The id of the task", format = "uuid")),
    responses((status = 200, description = "The task is completed, and its event will be published.", body = ChangedTask)))]
pub(super) async fn complete_task(
    State(app): State<App>,
    Id(id): Id,
    Input(done): Input<TaskDone>,
) -> Result<Json<ChangedTask>, Failure> {
    let done = Completion { by: done.completed_by, notes: done.completion_notes, at: now_ms() };
    match app.store.complete_task(&id, &done).await? {
        Completed::Done(task, message_id) => {
            app.relay.wake();
            Ok(Json(ChangedTask { task: (*task).into(), message_id }))
        }
        Completed::Already => Err(Failure::new(409, "the task is completed already")),
        Completed::Unknown => Err(Failure::not_found("there is no task with this id")),
    }
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
