//! An entry of the stream becomes the bytes of a Server-Sent Event, once for all clients of the process.
//!
//! The format is that of the HTML standard: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use bytes::Bytes;
use serde_json::{Value, json};
use streamgate::channel::StreamChannel;
use streamgate::codec::CodecError;
use streamgate::connection::Redis;
use streamgate::stream::{Entry, EntryId, Source, StreamKey};

use crate::message::{Message, Role, time_of};

/// The stream of messages, read as events.
#[derive(Clone)]
pub(crate) struct Frames(pub(crate) StreamChannel<Message>);

/// A message as an event, and what clients are chosen by.
pub(crate) struct Frame {
    pub(crate) room: String,
    pub(crate) role: Role,
    pub(crate) bytes: Bytes,
}

impl Source for Frames {
    type Value = Frame;

    fn redis(&self) -> &Redis {
        self.0.redis()
    }

    fn key(&self) -> &StreamKey {
        self.0.key()
    }

    fn decode(&self, entry: &Entry) -> Result<Frame, CodecError> {
        let message = self.0.decode(entry).inspect_err(|error| {
            tracing::warn!(id = %entry.id, %error, "an entry of the stream is no message");
        })?;
        let shown = json!({
            "id": entry.id.to_string(),
            "userId": message.user_id,
            "userName": message.user_name,
            "userRole": message.user_role,
            "content": message.content,
            "timestamp": time_of(entry.id),
        });
        let bytes = event("chat-message", Some(entry.id), &shown);
        Ok(Frame { room: message.room, role: message.user_role, bytes })
    }
}

/// An event. A client that comes back asks for what follows the last `id` that it has seen.
pub(crate) fn event(name: &str, id: Option<EntryId>, data: &Value) -> Bytes {
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    // JSON on one line: it escapes the line breaks inside texts.
    format!("event: {name}\n{id}data: {data}\n\n").into()
}

/// A comment, which clients ignore. With an id, it moves the place to come back to, and is no event either.
pub(crate) fn comment(text: &str, retry_ms: Option<u64>, id: Option<EntryId>) -> Bytes {
    let retry = retry_ms.map(|ms| format!("retry: {ms}\n")).unwrap_or_default();
    let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
    format!(": {text}\n{retry}{id}\n").into()
}
