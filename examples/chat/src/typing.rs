//! Who is typing. It is news that may be missed, so it travels over Pub/Sub and is stored nowhere.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::StatusCode;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use streamgate::channel::{PubSubEvent, PublishError};
use streamgate::connection::RetryLog;

use crate::Chat;
use crate::frames::event;
use crate::message::{GENERAL, ROOM, USER_ID, USER_NAME};
use crate::problem::Refusal;
use crate::send::{RoomQuery, form_of, query, take};

/// A user is typing in a room.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notice {
    room: String,
    user_id: String,
    user_name: String,
}

/// The event for the clients in the room.
pub(crate) struct NoticeFrame {
    pub(crate) room: String,
    pub(crate) user_id: String,
    pub(crate) bytes: Bytes,
}

/// `POST /api/chat/typing`, with userId and userName: tells the others in the room.
pub(crate) async fn typing(
    State(chat): State<Arc<Chat>>,
    room: Result<Query<RoomQuery>, QueryRejection>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let key = chat.key(request.headers())?.cloned();
    let (mut form, room) = (form_of(request).await?, query(room)?.room);
    let notice = Notice {
        room: form.check("room", Some(room.as_deref().unwrap_or(GENERAL)), ROOM),
        user_id: form.text("userId", USER_ID),
        user_name: form.text("userName", USER_NAME),
    };
    form.finish()?;
    take(&chat.typing_limit, key.as_ref(), &notice.user_id)?;
    match chat.notices.publish(&notice).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT),
        Err(PublishError::Redis(error)) => Err(error.into()),
        Err(error) => Err(Refusal::new(500, error.to_string())),
    }
}

/// Hands notices of all replicas to the clients of this one. Notices that are published while Redis is away are lost.
pub(crate) async fn listen(chat: Arc<Chat>) {
    let mut outage = RetryLog::new("typing");
    loop {
        let mut notices = match chat.notices.subscribe().await {
            Ok(notices) => notices,
            Err(error) => {
                tokio::time::sleep(outage.failed(&error)).await;
                continue;
            }
        };
        outage.healed();
        while let Some(heard) = notices.next().await {
            if let Ok(PubSubEvent::Value(notice)) = heard {
                let data = json!({ "userId": notice.user_id, "userName": notice.user_name });
                let bytes = event("typing", None, &data);
                let frame = NoticeFrame { room: notice.room, user_id: notice.user_id, bytes };
                // An error means that no client listens.
                let _ = chat.typing.send(Arc::new(frame));
            }
        }
    }
}
