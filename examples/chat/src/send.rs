//! `POST /api/chat/send`: appends a message to the stream.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use service::http::body::{self, BodyLimits};
use service::http::is_encoded;

use crate::Chat;
use crate::config::REQUEST_PATIENCE;
use crate::form::Form;
use crate::keys::Key;
use crate::limit::SenderLimit;
use crate::message::{LARGEST_CONTENT, Message, Role, time_of};
use crate::problem::Refusal;

/// JSON may write each byte of the content as `\u0041`.
const BODY: BodyLimits = BodyLimits { size: 8 * LARGEST_CONTENT, time: REQUEST_PATIENCE };

/// `?room=`.
#[derive(Deserialize)]
pub(crate) struct RoomQuery {
    pub(crate) room: Option<String>,
}

/// Checks a message and answers once Redis has it.
pub(crate) async fn send(
    State(chat): State<Arc<Chat>>,
    room: Result<Query<RoomQuery>, QueryRejection>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let key = chat.key(request.headers())?.cloned();
    let form = form_of(request).await?;
    let message = Message::of(form, query(room)?.room.as_deref())?;
    allow(key.as_ref(), message.user_role)?;
    take(&chat.send_limit, key.as_ref(), &message.user_id)?;
    let id = chat.writer.send(&message).await?;
    chat.metrics.sent.increment(1);
    Ok(Json(json!({ "messageId": id.to_string(), "timestamp": time_of(id) })))
}

impl Chat {
    /// The key that a request presents; `None` if none is needed.
    pub(crate) fn key(&self, headers: &HeaderMap) -> Result<Option<&Key>, Refusal> {
        Ok(self.keys.as_ref().map(|keys| keys.of(headers)).transpose()?)
    }
}

/// The parameters in the URL.
pub(crate) fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query.map(|Query(query)| query).map_err(|error| Refusal::new(400, error.body_text()))
}

/// Reads the body of a request.
pub(crate) async fn form_of(request: Request) -> Result<Form, Refusal> {
    if !body::is_json(request.headers()) || is_encoded(request.headers()) {
        return Err(Refusal::not_json());
    }
    Form::parse(&body::read(request.into_body(), BODY).await?)
}

/// A key speaks for its own role only.
fn allow(key: Option<&Key>, role: Role) -> Result<(), Refusal> {
    match key {
        Some(key) if key.role != role => {
            let (own, asked) = (key.role.as_str(), role.as_str());
            Err(Refusal::new(403, format!("this API key may send as {own}, not as {asked}")))
        }
        _ => Ok(()),
    }
}

/// Takes one of a sender's quota. The user ids of one key cannot use up the quota of another key's.
pub(crate) fn take(limit: &SenderLimit, key: Option<&Key>, user_id: &str) -> Result<(), Refusal> {
    let sender = format!("{}\n{user_id}", key.map_or("", |key| &key.name));
    let too_often = "this sender sends too often: nothing was done; try again later";
    limit.take(&sender).map_err(|wait| Refusal::later(429, too_often, wait))
}
