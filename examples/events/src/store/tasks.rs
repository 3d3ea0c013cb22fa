//! Tasks.

use super::backend::{Row, Tx, values};
use super::{Completed, StoreError};
use crate::model::{Completion, Priority, Task};

pub(super) async fn insert(tx: &mut impl Tx, task: &Task) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO tasks (uuid, title, description, priority, assigned_to, created_by, due_date, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        values![
            &task.id,
            &task.title,
            task.description.as_deref(),
            task.priority.as_str(),
            &task.assigned_to,
            &task.created_by,
            task.due_date.as_deref(),
            task.created_at
        ],
    )
    .await?;
    Ok(())
}

/// Completes the task, if it is open. `message_id` is that of the event that the caller publishes then.
pub(super) async fn complete(
    tx: &mut impl Tx,
    id: &str,
    done: &Completion,
    message_id: &str,
) -> Result<Completed, StoreError> {
    let row = tx
        .row(
            "UPDATE tasks SET completed_at = $2, completed_by = $3, completion_notes = $4 \
             WHERE uuid = $1 AND completed_at IS NULL \
             RETURNING uuid, title, description, priority, assigned_to, created_by, due_date, created_at",
            values![id, done.at, &done.by, done.notes.as_deref()],
        )
        .await?;
    if let Some(row) = row {
        let task = Task { completion: Some(done.clone()), ..open_task(&row)? };
        return Ok(Completed::Done(Box::new(task), message_id.to_owned()));
    }
    let known = tx.row("SELECT uuid FROM tasks WHERE uuid = $1", values![id]).await?.is_some();
    Ok(if known { Completed::Already } else { Completed::Unknown })
}

fn open_task(row: &Row) -> Result<Task, StoreError> {
    Ok(Task {
        id: row.text(0)?,
        title: row.text(1)?,
        description: row.maybe(2)?,
        priority: Priority::from_stored(&row.text(3)?),
        assigned_to: row.text(4)?,
        created_by: row.text(5)?,
        due_date: row.maybe(6)?,
        created_at: row.int(7)?,
        completion: None,
    })
}
