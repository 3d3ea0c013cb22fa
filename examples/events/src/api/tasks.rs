//! Tasks: they are created, and completed once.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::failure::Failure;
use super::input::{Check, Id, Input, Rules};
use crate::model::{Completion, Priority, Task, new_id, now_ms, rfc3339};
use crate::store::Completed;

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
