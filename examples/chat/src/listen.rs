//! `GET /api/chat/stream`: the stream of one client.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use serde::Deserialize;
use streamgate::stream::{Entry, EntryId, Source};

use crate::Chat;
use crate::client::{Client, Filter};
use crate::form::Form;
use crate::message::{GENERAL, ROOM, USER_ID};
use crate::problem::Refusal;
use crate::send::query;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Who listens, and to what.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StreamQuery {
    user_id: Option<String>,
    room: Option<String>,
    role: Option<String>,
    history: Option<String>,
}

/// The most messages of the past that a client may ask for.
const LONGEST_HISTORY: usize = 1_000;
/// How far back they are looked for: other rooms are on the stream, too.
const FARTHEST_HISTORY: usize = 5_000;

/// How long a client waits for its place on the stream. Its stream then begins without, and gets it later.
const PLACE_PATIENCE: Duration = Duration::from_millis(500);

/// Starts a stream after `Last-Event-ID`, else before the newest `history` messages, else now.
pub(crate) async fn listen(
    State(chat): State<Arc<Chat>>,
    asked: Result<Query<StreamQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    chat.key(&headers)?;
    let (filter, history) = checked(query(asked)?)?;
    let last_event_id = last_event_id(&headers)?;
    let place = Arc::clone(&chat.places).try_acquire_owned().map_err(|_| {
        let detail =
            "as many clients listen as this process may have; ask another replica, or try again later";
        Refusal::later(503, detail, Duration::from_secs(5))
    })?;
    let after = match last_event_id {
        Some(id) => Some(id),
        None => tokio::time::timeout(PLACE_PATIENCE, chat.begin(&filter, history)).await.ok(),
    };
    let client = Client::new(chat, filter, after, place);
    let events = unfold(client, |mut client| async {
        let bytes = client.next().await?;
        Some((Ok::<_, Infallible>(bytes), client))
    });
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // nginx gathers what it passes on, unless it is told not to.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

fn checked(query: StreamQuery) -> Result<(Filter, usize), Refusal> {
    let mut form = Form::empty();
    let history = query.history.as_deref().unwrap_or("0").parse().ok();
    let history = history.filter(|history| *history <= LONGEST_HISTORY);
    if history.is_none() {
        form.wrong("history", format!("must be a whole number up to {LONGEST_HISTORY}"));
    }
    let filter = Filter {
        user_id: form.check("userId", query.user_id.as_deref(), USER_ID),
        room: form.check("room", Some(query.room.as_deref().unwrap_or(GENERAL)), ROOM),
        role: form.is("role", &query.role.unwrap_or_default()),
    };
    form.finish()?;
    Ok((filter, history.unwrap_or_default()))
}

/// The id in the header. A client that has seen no event sends none, or an empty one.
fn last_event_id(headers: &HeaderMap) -> Result<Option<EntryId>, Refusal> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    let rule = "last-event-id must be the id of an event of this stream, such as 1763683200000-0";
    id.map(Some).ok_or_else(|| Refusal::new(400, rule))
}

impl Chat {
    /// The id after which a stream begins that shows `history` messages of the past.
    async fn begin(&self, filter: &Filter, history: usize) -> EntryId {
        let mut begin = self.messages.position().await;
        let (mut found, mut looked_at) = (0, 0);
        let mut newest = self.frames.0.stream().rev_range(..=begin);
        while found < history && looked_at < FARTHEST_HISTORY {
            let Some(Ok(item)) = newest.next().await else { break };
            looked_at += 1;
            let entry = Entry { id: item.id, fields: item.value };
            if self.frames.decode(&entry).is_ok_and(|frame| filter.wants(&frame)) {
                (found, begin) = (found + 1, entry.id.previous());
            }
        }
        begin
    }
}
