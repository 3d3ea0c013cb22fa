//! What one client gets: messages, who is typing, heartbeats, gaps, and why its stream ends.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use streamgate::fanout::{Event, Subscription};
use streamgate::stream::EntryId;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::Chat;
use crate::frames::{Frame, comment, event};
use crate::message::Role;
use crate::typing::NoticeFrame;

/// What a client wants to get.
pub(crate) struct Filter {
    /// A client does not get the notices of its own user.
    pub(crate) user_id: String,
    pub(crate) room: String,
    /// Only messages of this role.
    pub(crate) role: Option<Role>,
}

impl Filter {
    pub(crate) fn wants(&self, frame: &Frame) -> bool {
        frame.room == self.room && self.role.is_none_or(|role| role == frame.role)
    }

    fn hears(&self, notice: &NoticeFrame) -> bool {
        notice.room == self.room && notice.user_id != self.user_id
    }
}

/// Why a stream ended, as the label of a metric and as the reason in the event `bye`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The client went, or its connection broke.
    Left,
    /// More messages waited for it than CHAT_QUEUE.
    Slow,
    /// The same, while messages waited that it did not take: usually it was cut off after CHAT_WRITE_TIMEOUT.
    Stalled,
    /// The process stops.
    Stopping,
}

impl End {
    pub(crate) const ALL: [Self; 4] = [Self::Left, Self::Slow, Self::Stalled, Self::Stopping];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Slow => "slow",
            Self::Stalled => "stalled",
            Self::Stopping => "stopping",
        }
    }
}

/// The stream of one client. Dropping it gives its place back.
pub(crate) struct Client {
    chat: Arc<Chat>,
    filter: Filter,
    /// Where it begins, or began over; `None` while Redis has not told yet.
    after: Option<EntryId>,
    subscription: Option<Subscription<Frame>>,
    typing: broadcast::Receiver<Arc<NoticeFrame>>,
    heartbeat: Interval,
    /// The bytes that are given next, before anything else.
    next: Option<Bytes>,
    /// The last id that it was told, and the last that it would have got if it wanted all messages.
    told: EntryId,
    passed: EntryId,
    ended: Option<End>,
    /// True if it has not asked for more since it was given something.
    is_behind: bool,
    _place: OwnedSemaphorePermit,
}

/// How long the stream is asked whether it still has what a client missed.
const GAP_PATIENCE: Duration = Duration::from_secs(1);

impl Client {
    pub(crate) fn new(
        chat: Arc<Chat>,
        filter: Filter,
        after: Option<EntryId>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let heartbeat = chat.settings.chat_heartbeat.0;
        let mut heartbeat = interval_at(Instant::now() + heartbeat, heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Clients that are cut off together do not come back together.
        let retry = chat.settings.chat_retry.0.mul_f64(rand::random_range(1.0..2.0));
        let told = after.unwrap_or_default();
        chat.metrics.clients.increment(1.0);
        Self {
            typing: chat.typing.subscribe(),
            next: Some(comment("welcome", Some(retry.as_millis() as u64), after)),
            passed: told,
            is_behind: false,
            subscription: None,
            ended: None,
            _place: place,
            chat,
            filter,
            after,
            heartbeat,
            told,
        }
    }

    /// The next bytes of the stream; `None` at its end. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        self.is_behind = false;
        let bytes = match self.next.take() {
            Some(bytes) => bytes,
            None if self.ended.is_some() => return None,
            None => self.wait().await,
        };
        self.is_behind = true;
        Some(bytes)
    }

    async fn wait(&mut self) -> Bytes {
        loop {
            tokio::select! {
                biased;
                event = joined(&self.chat, &mut self.after, &mut self.subscription) => {
                    if let Some(bytes) = self.given(event).await {
                        return bytes;
                    }
                }
                notice = self.typing.recv() => match notice {
                    Ok(notice) if self.filter.hears(&notice) => return notice.bytes.clone(),
                    // A notice for another room, or one that this client was too slow for.
                    _ => {}
                },
                _ = self.heartbeat.tick() => return self.beat(),
            }
        }
    }

    /// The bytes for an event, unless the client does not want it.
    async fn given(&mut self, got: Option<Event<Frame>>) -> Option<Bytes> {
        match got {
            Some(Event::Item(item)) => {
                self.passed = item.id;
                if !self.filter.wants(&item.value) {
                    return None;
                }
                self.told = item.id;
                self.chat.metrics.given.increment(1);
                Some(item.value.bytes.clone())
            }
            Some(Event::Gap { from, to }) if is_there(&self.chat, from, to).await => {
                self.next = Some(self.end(End::Slow));
                // Without an id: the client comes back to where the gap begins.
                Some(gap(from, to, "slow", None))
            }
            Some(Event::Gap { from, to }) => Some(self.moved(to, gap(from, to, "trimmed", Some(to)))),
            Some(Event::Undecodable { id, .. }) => Some(self.moved(id, gap(id, id, "unreadable", Some(id)))),
            // What follows does not continue what came before: the stream was deleted, or Redis lost its end.
            Some(Event::StartedOver) => {
                Some(self.moved(EntryId::MIN, event("started-over", Some(EntryId::MIN), &json!({}))))
            }
            None => Some(self.end(End::Stopping)),
        }
    }

    fn moved(&mut self, to: EntryId, bytes: Bytes) -> Bytes {
        (self.told, self.passed, self.after) = (to, to, Some(to));
        bytes
    }

    fn end(&mut self, end: End) -> Bytes {
        self.ended = Some(end);
        event("bye", None, &json!({ "reason": end.as_str() }))
    }

    /// A heartbeat has the place to come back to, if that has moved past messages that the client does not want.
    fn beat(&mut self) -> Bytes {
        let passed = self.after.map(|after| after.max(self.passed)).filter(|passed| *passed > self.told);
        self.told = passed.unwrap_or(self.told);
        comment("heartbeat", None, passed)
    }
}

/// True if the stream has entries in the gap, as far as it can be asked: then the client was too slow.
async fn is_there(chat: &Chat, from: EntryId, to: EntryId) -> bool {
    let mut missed = chat.frames.0.stream().range(from..=to);
    match tokio::time::timeout(GAP_PATIENCE, missed.next()).await {
        Ok(first) => first.is_some(),
        Err(_) => true,
    }
}

/// Messages between these ids, both included, were not given. `slow`: come back with the last id and get them. `trimmed`:
/// they are deleted. `unreadable`: the entry is no message.
fn gap(from: EntryId, to: EntryId, reason: &str, id: Option<EntryId>) -> Bytes {
    event("gap", id, &json!({ "from": from.to_string(), "to": to.to_string(), "reason": reason }))
}

/// The next event of the stream, which is joined first. If the future is dropped, the next call goes on.
async fn joined(
    chat: &Chat,
    after: &mut Option<EntryId>,
    subscription: &mut Option<Subscription<Frame>>,
) -> Option<Event<Frame>> {
    let subscription = match subscription {
        Some(subscription) => subscription,
        None => {
            let place = match *after {
                Some(after) => after,
                None => chat.messages.position().await,
            };
            *after = Some(place);
            subscription.insert(chat.messages.subscribe(Some(place)).await)
        }
    };
    subscription.next().await
}

impl Drop for Client {
    fn drop(&mut self) {
        let gone = if self.is_behind { End::Stalled } else { End::Left };
        let end = self.ended.unwrap_or(gone);
        self.chat.metrics.clients.decrement(1.0);
        self.chat.metrics.ended(end).increment(1);
        let (user, room, reason) = (&self.filter.user_id, &self.filter.room, end.as_str());
        match end {
            End::Slow | End::Stalled => tracing::info!(user, room, reason, "a client was dropped"),
            End::Left | End::Stopping => tracing::debug!(user, room, reason, "a stream ended"),
        }
    }
}
