use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Arrival, Status};

/// What an event changes in the tables of the consumers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// The projection of a user.
    User(UserEffect),
    /// The history of a room.
    Message(MessageSent),
    /// The state of a task.
    TaskCreated(TaskCreated),
    /// The state of a task that must be known.
    TaskCompleted(TaskCompleted),
    /// The counters of the log.
    LogLine(LogLine),
    /// The event is recorded, and changes nothing else.
    Nothing,
}

/// An entry that will never be an event, however often it is tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// A user after a change. The event `user.deleted` has neither address nor status.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserEffect {
    /// The user.
    pub user_id: String,
    /// Its name.
    pub username: String,
    /// Its address.
    #[serde(default)]
    pub email: Option<String>,
    /// Its status.
    #[serde(default)]
    pub status: Option<Status>,
    /// When it was deleted, if it was.
    #[serde(default)]
    pub deleted_at: Option<String>,
}

/// A message in a room.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MessageSent {
    /// Its id.
    pub message_id: String,
    /// Who wrote it.
    pub sender_id: String,
    /// Who gets it.
    pub receiver_id: String,
    /// Its text.
    pub content: String,
    /// Its room.
    pub room_id: String,
    /// When it was sent.
    pub timestamp: String,
}

/// A task that is open.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCreated {
    /// The task.
    pub task_id: String,
    /// What is to be done.
    pub title: String,
    /// Who is to do it.
    pub assigned_to: String,
}

/// A task that is done.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCompleted {
    /// The task.
    pub task_id: String,
    /// Who did it.
    pub completed_by: String,
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogLine {
    /// Its level.
    pub level: String,
    /// The service that wrote it.
    pub service: String,
}

impl Effect {
    /// What `arrival` changes.
    ///
    /// # Errors
    /// It is no event, or its payload is not that of its type.
    pub fn of(arrival: &Arrival) -> Result<Self, Malformed> {
        if let Some(fault) = &arrival.fault {
            return Err(fault.clone());
        }
        Ok(match (arrival.stream.as_str(), arrival.event_type.as_str()) {
            ("user:events", "user.created" | "user.updated" | "user.deleted") => {
                Self::User(payload(arrival)?)
            }
            ("chat:messages", "message.sent") => Self::Message(payload(arrival)?),
            ("task:queue", "task.created") => Self::TaskCreated(payload(arrival)?),
            ("task:queue", "task.completed") => Self::TaskCompleted(payload(arrival)?),
            ("system:logs", "system.error" | "system.info") => Self::LogLine(payload(arrival)?),
            _ => Self::Nothing,
        })
    }

    /// The row that it changes and shares with other events. Transactions that take such rows in this order do not
    /// wait for each other in a circle.
    pub fn shared_row(&self) -> (&str, &str) {
        match self {
            Self::User(user) => (&user.user_id, ""),
            Self::Message(message) => (&message.room_id, ""),
            Self::TaskCreated(task) => (&task.task_id, ""),
            Self::TaskCompleted(task) => (&task.task_id, ""),
            Self::LogLine(line) => (&line.service, &line.level),
            Self::Nothing => ("", ""),
        }
    }
}

fn payload<T: DeserializeOwned>(arrival: &Arrival) -> Result<T, Malformed> {
    serde_json::from_str(&arrival.payload)
        .map_err(|error| Malformed(format!("the payload is not that of {}: {error}", arrival.event_type)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use streamgate::stream::EntryId;

    use super::*;
    use crate::model::{NewEvent, STREAMS, User};

    fn arrived(event: &NewEvent) -> Arrival {
        Arrival::read(&event.stream, EntryId::MIN, &event.fields(), 1)
    }

    #[test]
    fn a_payload_of_another_type_is_malformed() {
        let user = User::new("ada".to_owned(), "ada@example.org", Status::Active);

        let good = Effect::of(&arrived(&NewEvent::user_created(&user)));
        let bad =
            Effect::of(&arrived(&NewEvent::custom("user:events", "user.created", &json!({"userId": 1}))));

        assert!(matches!(good, Ok(Effect::User(effect)) if effect.user_id == user.id));
        assert!(bad.expect_err("malformed").to_string().contains("user.created"));
    }

    #[test]
    fn an_unknown_type_and_a_custom_stream_change_nothing() {
        for stream in STREAMS.iter().map(|kind| kind.name).chain(["custom:a"]) {
            let event = NewEvent::custom(stream, "thing.happened", &json!(null));
            assert_eq!(Effect::of(&arrived(&event)), Ok(Effect::Nothing), "{stream}");
        }
    }
}
