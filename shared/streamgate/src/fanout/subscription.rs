use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use tokio::sync::watch;

use super::ring::{Cursor, Join};
use super::{Event, Shared};
use crate::connection::{Error, RetryLog};
use crate::stream::{EntryId, History, News};

/// The events of a [`Broadcast`](super::Broadcast) for one subscriber; it ends with the broadcast.
///
/// Promise: as for [`Broadcast`](super::Broadcast). While it reads the past, it holds at most 128 entries of its own.
pub struct Subscription<T> {
    events: Pin<Box<dyn Stream<Item = Event<T>> + Send>>,
}

impl<T: Send + Sync + 'static> Subscription<T> {
    pub(super) async fn start(shared: Arc<Shared<T>>, after: Option<EntryId>) -> Self {
        let follower = Follower::start(shared, after).await;
        let events = futures_util::stream::unfold(follower, |mut follower| async {
            let event = follower.next().await?;
            Some((event, follower))
        });
        Self { events: Box::pin(events) }
    }

    /// The next event; waits for it. `None` when the broadcast has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event<T>> {
        self.events.next().await
    }
}

impl<T> Stream for Subscription<T> {
    type Item = Event<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        self.events.poll_next_unpin(context)
    }
}

struct Follower<T> {
    shared: Arc<Shared<T>>,
    changes: watch::Receiver<u64>,
    cursor: Cursor,
    /// The past that it reads until it can join.
    past: Option<Past<T>>,
    _counted: Arc<()>,
}

struct Past<T> {
    history: History,
    /// Events that were read and not given yet.
    events: VecDeque<Event<T>>,
    outage: RetryLog,
    /// True if its id is after all entries that the reader has read: it may be no id of this stream. A page shows it.
    unknown: bool,
}

impl<T: Send + Sync + 'static> Follower<T> {
    async fn start(shared: Arc<Shared<T>>, after: Option<EntryId>) -> Self {
        let mut changes = shared.changes.clone();
        // If the broadcast ends meanwhile, the first call of `next` notices it.
        let _ = changes.wait_for(|_| shared.ring().has_begun()).await;
        let (cursor, past) = {
            let ring = shared.ring();
            match after {
                None => (ring.at_end(), None),
                Some(id) => {
                    let unknown = id > ring.at_end().position;
                    (ring.after(id), Some(Past { unknown, ..Past::after(&shared, id) }))
                }
            }
        };
        let counted = Arc::clone(&shared.subscribers);
        Self { shared, changes, cursor, past, _counted: counted }
    }

    async fn next(&mut self) -> Option<Event<T>> {
        loop {
            if let Some(past) = &mut self.past {
                if let Some(event) = past.events.pop_front() {
                    return Some(event);
                }
                let shutdown = self.shared.shutdown.clone();
                tokio::select! {
                    () = shutdown.cancelled() => return None,
                    () = self.approach() => {}
                }
                continue;
            }
            self.changes.mark_unchanged();
            if let Some(event) = self.shared.ring().take(&mut self.cursor) {
                return Some(event);
            }
            if self.changes.changed().await.is_err() {
                return self.shared.ring().take(&mut self.cursor);
            }
        }
    }

    /// Joins if possible; else reads a page of the past.
    async fn approach(&mut self) {
        let Some(past) = &mut self.past else { return };
        self.cursor.position = past.history.position();
        let joined = self.shared.ring().join(&mut self.cursor);
        match joined {
            Join::Joined if !past.unknown => self.past = None,
            Join::StartedOver => {
                past.history = Past::after(&self.shared, EntryId::MIN).history;
                past.events.push_back(Event::StartedOver);
            }
            Join::Behind | Join::Joined => {
                if let Err(error) = past.read(&self.shared).await {
                    let pause = past.outage.failed(&error);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

impl<T> Past<T> {
    fn after(shared: &Shared<T>, id: EntryId) -> Self {
        let history = History::after(shared.redis.clone(), shared.key.clone(), id);
        Self {
            history,
            events: VecDeque::new(),
            outage: RetryLog::new("history of a broadcast"),
            unknown: false,
        }
    }

    async fn read(&mut self, shared: &Shared<T>) -> Result<(), Error> {
        // The semaphore is never closed.
        let _turn = shared.historians.acquire().await;
        let page = self.history.page().await?;
        self.outage.healed();
        self.unknown = false;
        self.events.extend(page.news.and_then(|news| match news {
            News::StartedOver => Some(Event::StartedOver),
            News::Missed(missed) => Some(Event::Gap { from: missed.from, to: missed.to }),
            News::Fault(_) => None,
        }));
        self.events.extend(page.entries.iter().map(|entry| shared.event(entry)));
        Ok(())
    }
}
