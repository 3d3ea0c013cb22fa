use serde_json::{Value, json};
use streamgate::fields::Fields;
use streamgate::stream::EntryId;

use super::{Changes, Completion, Malformed, Task, User, new_id, now_ms, rfc3339};

/// A stream with a name that never changes, its group and the types of its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamKind {
    /// The name of the stream.
    pub name: &'static str,
    /// The consumer group that works on it.
    pub group: &'static str,
    /// The types of the events that the service itself publishes there.
    pub types: &'static [&'static str],
}

/// All streams but the custom ones.
pub const STREAMS: [StreamKind; 4] = [
    StreamKind {
        name: "user:events",
        group: "user-processing-group",
        types: &["user.created", "user.updated", "user.deleted"],
    },
    StreamKind { name: "chat:messages", group: "chat-processing-group", types: &["message.sent"] },
    StreamKind {
        name: "task:queue",
        group: "task-processing-group",
        types: &["task.created", "task.completed"],
    },
    StreamKind {
        name: "system:logs",
        group: "log-processing-group",
        types: &["system.error", "system.info"],
    },
];

/// The consumer group of every custom stream.
pub const CUSTOM_GROUP: &str = "custom-processing-group";

/// True for `custom:` and 1 to 64 characters of a-z, 0-9, dot, hyphen and underscore.
pub fn is_custom(stream: &str) -> bool {
    stream.strip_prefix("custom:").is_some_and(|name| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_".contains(&b))
    })
}

/// True for 1 to 100 letters, digits, dots, colons, hyphens and underscores.
pub fn is_event_type(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_".contains(&b))
}

/// An event that is to be published: it goes into the audit trail and the outbox in the transaction that makes it true.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id, a UUID: the answer calls it `messageId`, the entry on the stream has it as `id`.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// Its type.
    pub event_type: String,
    /// Its payload, JSON.
    pub payload: String,
    /// The user that it is about or from.
    pub user_id: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
}

impl NewEvent {
    fn new(stream: &str, event_type: &str, user_id: Option<&str>, payload: &Value) -> Self {
        Self {
            id: new_id(),
            stream: stream.to_owned(),
            event_type: event_type.to_owned(),
            payload: payload.to_string(),
            user_id: user_id.map(str::to_owned),
            created_at: now_ms(),
        }
    }

    /// A user was created.
    pub fn user_created(user: &User) -> Self {
        let payload = json!({
            "userId": user.id, "username": user.username, "email": user.email,
            "status": user.status, "createdAt": user.created(),
        });
        Self::new("user:events", "user.created", Some(&user.id), &payload)
    }

    /// A user was changed.
    pub fn user_updated(user: &User, changes: &Changes) -> Self {
        let payload = json!({
            "userId": user.id, "username": user.username, "email": user.email, "status": user.status,
            "changes": changes, "updatedAt": user.updated(),
        });
        Self::new("user:events", "user.updated", Some(&user.id), &payload)
    }

    /// A user was deleted.
    pub fn user_deleted(id: &str, username: &str) -> Self {
        let payload = json!({"userId": id, "username": username, "deletedAt": rfc3339(now_ms())});
        Self::new("user:events", "user.deleted", Some(id), &payload)
    }

    /// A message was sent in a room. The message has the id of its event.
    pub fn message_sent(sender: &str, receiver: &str, content: &str, room: &str) -> Self {
        let mut event = Self::new("chat:messages", "message.sent", Some(sender), &Value::Null);
        let payload = json!({
            "messageId": event.id, "senderId": sender, "receiverId": receiver, "content": content,
            "roomId": room, "timestamp": rfc3339(event.created_at),
        });
        event.payload = payload.to_string();
        event
    }

    /// A task was created.
    pub fn task_created(task: &Task) -> Self {
        let payload = json!({
            "taskId": task.id, "title": task.title, "description": task.description,
            "priority": task.priority, "assignedTo": task.assigned_to, "createdBy": task.created_by,
            "dueDate": task.due_date,
        });
        Self::new("task:queue", "task.created", Some(&task.created_by), &payload)
    }

    /// A task was completed.
    pub fn task_completed(task: &str, completion: &Completion) -> Self {
        let payload = json!({
            "taskId": task, "completedBy": completion.by, "completionNotes": completion.notes,
            "completedAt": rfc3339(completion.at),
        });
        Self::new("task:queue", "task.completed", Some(&completion.by), &payload)
    }

    /// A line of a log: `system.error` if its level is error, else `system.info`.
    pub fn log_line(level: &str, message: &str, metadata: &Value, service: &str) -> Self {
        let payload = json!({
            "level": level, "message": message, "metadata": metadata,
            "timestamp": rfc3339(now_ms()), "service": service,
        });
        let event_type = if level == "error" { "system.error" } else { "system.info" };
        Self::new("system:logs", event_type, None, &payload)
    }

    /// Any event. If its payload has a text `userId`, it is about that user.
    pub fn custom(stream: &str, event_type: &str, payload: &Value) -> Self {
        let user = payload["userId"].as_str().filter(|id| id.len() <= 100 && !id.contains('\0'));
        Self::new(stream, event_type, user, payload)
    }

    /// The fields of its entry.
    pub fn fields(&self) -> Fields {
        let timestamp = self.created_at.to_string();
        Fields::from_iter([
            ("eventType", self.event_type.as_str()),
            ("payload", &self.payload),
            ("timestamp", &timestamp),
            ("id", &self.id),
        ])
    }
}

/// An entry that a consumer got, as the audit trail keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its id. An entry without one gets a new one, so that the audit trail can name it.
    pub id: String,
    /// The stream.
    pub stream: String,
    /// Its place on the stream.
    pub entry: EntryId,
    /// Its type.
    pub event_type: String,
    /// Its payload, JSON.
    pub payload: String,
    /// The user that it is about or from.
    pub user_id: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Which delivery this is, counted from 1.
    pub attempt: u32,
    /// What makes it no event, if something does.
    pub fault: Option<Malformed>,
}

impl Arrival {
    /// Reads the fields of an entry.
    pub fn read(stream: &str, entry: EntryId, fields: &Fields, attempt: u32) -> Self {
        let text = |name| fields.text(name).filter(|text| !text.contains('\0'));
        let id = text("id").and_then(|id| uuid::Uuid::parse_str(id).ok()).map(|id| id.to_string());
        let event_type = text("eventType").filter(|name| is_event_type(name));
        let payload = text("payload").and_then(|text| serde_json::from_str::<Value>(text).ok());
        let fault = match (&id, event_type, &payload) {
            (None, ..) => Some("the field id is no UUID"),
            (_, None, _) => Some("the field eventType is no name of a type"),
            (.., None) => Some("the field payload is no JSON"),
            _ => None,
        };
        let user = |name: &str| payload.as_ref()?[name].as_str().map(str::to_owned);
        let user_id = ["userId", "senderId", "createdBy", "completedBy"].into_iter().find_map(user);
        let raw =
            || fields.get("payload").map(|bytes| String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}"));
        Self {
            id: id.unwrap_or_else(new_id),
            stream: stream.to_owned(),
            entry,
            event_type: event_type.unwrap_or("unknown").to_owned(),
            payload: payload.as_ref().map_or_else(|| json!(raw()).to_string(), Value::to_string),
            user_id: user_id.filter(|id| id.len() <= 100 && !id.contains('\0')),
            created_at: text("timestamp").and_then(|ms| ms.parse().ok()).unwrap_or(entry.ms as i64),
            attempt,
            fault: fault.map(|rule| Malformed(rule.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: EntryId = EntryId { ms: 7, seq: 1 };

    #[test]
    fn an_entry_has_the_fields_of_its_event() {
        let event = NewEvent::custom("custom:a", "thing.happened", &json!({"userId": "u1", "n": 1}));

        let arrival = Arrival::read("custom:a", ENTRY, &event.fields(), 2);

        assert_eq!((arrival.fault, arrival.attempt), (None, 2));
        assert_eq!(
            (arrival.id, arrival.event_type, arrival.payload),
            (event.id, event.event_type, event.payload)
        );
        assert_eq!((arrival.user_id.as_deref(), arrival.created_at), (Some("u1"), event.created_at));
    }

    #[test]
    fn an_entry_that_is_no_event_says_what_is_wrong() {
        let id = new_id();
        for (fields, fault) in [
            (vec![("payload", "{}"), ("eventType", "a")], "id"),
            (vec![("id", id.as_str()), ("payload", "{}")], "eventType"),
            (vec![("id", id.as_str()), ("eventType", "a"), ("payload", "{")], "payload"),
            (vec![("id", id.as_str()), ("eventType", "a\0b"), ("payload", "{}")], "eventType"),
        ] {
            let arrival = Arrival::read("user:events", ENTRY, &Fields::from_iter(fields), 1);
            let told = arrival.fault.expect("a fault").to_string();
            assert!(told.contains(fault), "{told}");
            assert!(serde_json::from_str::<Value>(&arrival.payload).is_ok(), "{}", arrival.payload);
        }
    }

    #[test]
    fn only_streams_of_the_service_and_custom_ones_can_be_written() {
        for good in ["custom:a", "custom:orders.eu-1_x"] {
            assert!(is_custom(good), "{good}");
        }
        let long = format!("custom:{}", "a".repeat(65));
        for bad in ["custom:", "custom:A", "custom:a b", "user:events", "other:a", "custom:{a}", &long] {
            assert!(!is_custom(bad), "{bad}");
        }
    }
}
