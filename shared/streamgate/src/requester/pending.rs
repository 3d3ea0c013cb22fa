use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::RequestErrorKind;
use crate::envelope::{CorrelationId, Reply};

/// A reply and the time at which it was stored.
#[derive(Debug)]
pub struct Received {
    /// The reply.
    pub reply: Reply,
    /// When it was stored: Unix milliseconds in the server's clock, from its entry id.
    pub stored_ms: u64,
}

/// What a waiting caller gets: a reply or an error.
pub type Arrival = Result<Received, RequestErrorKind>;

/// The result of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// The caller got it.
    Delivered,
    /// The caller had gone.
    Late,
    /// No caller of this process has this id.
    Unknown,
}

/// The callers that wait for a reply, by correlation id. Clones share everything.
///
/// A caller gets a place before its request is sent. The guard frees the place when it is dropped: after a reply, a
/// timeout, a disconnect or a panic. So no place leaks.
#[derive(Clone)]
pub struct PendingReplies(Arc<Inner>);

struct Inner {
    waiting: DashMap<CorrelationId, oneshot::Sender<Arrival>, foldhash::fast::RandomState>,
    /// The size of `waiting`. Every request needs it, and the map would lock each of its shards to count.
    count: AtomicUsize,
    deadlines: Mutex<BTreeMap<u64, Vec<CorrelationId>>>,
    /// Ids of callers that went without a reply. They tell a late reply from one for another process.
    abandoned: Mutex<LastIds>,
    /// Ids of requests that may be stored twice.
    maybe_twice: Mutex<LastIds>,
    started: Instant,
}

/// Shards of the map: a power of two well above the number of cores that write to it.
const SHARDS: usize = 32;

/// Deadlines are grouped into steps of this length. One sweep per step costs less than a timer per request; a caller
/// waits at most two steps too long.
pub(super) const DEADLINE_STEP: Duration = Duration::from_millis(16);

impl Default for PendingReplies {
    fn default() -> Self {
        Self(Arc::new(Inner {
            waiting: DashMap::with_hasher_and_shard_amount(foldhash::fast::RandomState::default(), SHARDS),
            count: AtomicUsize::new(0),
            deadlines: Mutex::default(),
            abandoned: Mutex::default(),
            maybe_twice: Mutex::default(),
            started: Instant::now(),
        }))
    }
}

impl PendingReplies {
    /// Adds a caller that waits for `id` until `deadline`.
    pub fn register(&self, id: CorrelationId, deadline: Instant) -> PendingGuard {
        let (sender, arrival) = oneshot::channel();
        if self.0.waiting.insert(id, sender).is_none() {
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
        let step = self.0.step_of(deadline) + 1;
        lock(&self.0.deadlines).entry(step).or_default().push(id);
        PendingGuard { id, pending: Arc::clone(&self.0), arrival, completed: false }
    }

    /// Gives `arrival` to the caller that waits for `id`.
    pub fn complete(&self, id: CorrelationId, arrival: Arrival) -> Completion {
        match self.0.remove(id) {
            Some(waiting) => match waiting.send(arrival) {
                Ok(()) => Completion::Delivered,
                Err(_gone) => Completion::Late,
            },
            None if lock(&self.0.abandoned).contains(id) => Completion::Late,
            None => Completion::Unknown,
        }
    }

    /// Completes the callers whose deadline has passed; returns how many.
    pub fn expire(&self, now: Instant) -> usize {
        let passed = {
            let mut deadlines = lock(&self.0.deadlines);
            let later = deadlines.split_off(&(self.0.step_of(now) + 1));
            std::mem::replace(&mut *deadlines, later)
        };
        let ids = passed.into_values().flatten();
        ids.filter(|id| match self.0.remove(*id) {
            Some(waiting) => waiting.send(Err(RequestErrorKind::DeadlinePassed)).is_ok(),
            None => false,
        })
        .count()
    }

    /// Notes that the request `id` may be stored twice: a try got no answer, and the request may be sent again.
    pub(super) fn may_be_stored_twice(&self, id: CorrelationId) {
        lock(&self.0.maybe_twice).insert(id);
    }

    /// True if a caller waits for `id`.
    pub(super) fn is_waited_for(&self, id: CorrelationId) -> bool {
        self.0.waiting.contains_key(&id)
    }

    /// True if a caller waits for `id` and the request is on the stream at most once.
    pub(super) fn was_stored_once(&self, id: CorrelationId) -> bool {
        self.is_waited_for(id) && !lock(&self.0.maybe_twice).contains(id)
    }

    /// The only entry of `id` was taken back: tells the caller that no work was done. False if the request may
    /// meanwhile be stored a second time. After this the writer does not send the request again, because no caller
    /// waits for it.
    pub(super) fn was_taken_back(&self, id: CorrelationId) -> bool {
        let maybe_twice = lock(&self.0.maybe_twice);
        !maybe_twice.contains(id)
            && self.complete(id, Err(RequestErrorKind::NoWorker)) == Completion::Delivered
    }

    /// The number of waiting callers.
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// True if no caller waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Inner {
    fn remove(&self, id: CorrelationId) -> Option<oneshot::Sender<Arrival>> {
        let (_, waiting) = self.waiting.remove(&id)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        Some(waiting)
    }

    fn step_of(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.started);
        (since.as_millis() / DEADLINE_STEP.as_millis()) as u64
    }
}

/// One caller's place in [`PendingReplies`]; dropping it frees the place.
pub struct PendingGuard {
    id: CorrelationId,
    pending: Arc<Inner>,
    arrival: oneshot::Receiver<Arrival>,
    completed: bool,
}

impl PendingGuard {
    /// Waits for the arrival.
    pub async fn wait(mut self) -> Arrival {
        let arrival = (&mut self.arrival).await;
        self.completed = matches!(arrival, Ok(Ok(_)));
        arrival.unwrap_or(Err(RequestErrorKind::Unconfirmed))
    }
}

impl Drop for PendingGuard {
    fn drop(&mut self) {
        if !self.completed {
            self.pending.remove(self.id);
            lock(&self.pending.abandoned).insert(self.id);
        }
    }
}

/// A bounded set of the ids that were inserted last.
#[derive(Default)]
struct LastIds {
    order: VecDeque<CorrelationId>,
    ids: HashSet<CorrelationId, foldhash::fast::RandomState>,
}

impl LastIds {
    /// Enough for the callers of one outage.
    const MOST: usize = 8_192;

    fn insert(&mut self, id: CorrelationId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > Self::MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn contains(&self, id: CorrelationId) -> bool {
        self.ids.contains(&id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(id: CorrelationId) -> Arrival {
        Ok(Received { reply: Reply::problem(id, 502, "x"), stored_ms: 0 })
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_reaches_only_its_own_caller() {
        let pending = PendingReplies::default();
        let (mine, other) = (CorrelationId::mint(), CorrelationId::mint());
        let deadline = Instant::now() + Duration::from_secs(1);
        let (waiting, _bystander) = (pending.register(mine, deadline), pending.register(other, deadline));

        assert_eq!(pending.complete(mine, received(mine)), Completion::Delivered);

        assert_eq!(waiting.wait().await.expect("a reply").reply.id, mine);
        assert_eq!(pending.len(), 1);
        assert_eq!(
            pending.complete(mine, received(mine)),
            Completion::Unknown,
            "a second reply finds no caller"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_is_late_if_its_caller_has_gone() {
        let pending = PendingReplies::default();
        let id = CorrelationId::mint();
        let waiting = pending.register(id, Instant::now() + Duration::from_secs(1));

        drop(waiting);

        assert!(pending.is_empty());
        assert_eq!(pending.complete(id, received(id)), Completion::Late);
        assert_eq!(pending.complete(CorrelationId::mint(), received(id)), Completion::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_may_be_stored_twice_is_not_refused() {
        let pending = PendingReplies::default();
        let (once, maybe_twice) = (CorrelationId::mint(), CorrelationId::mint());
        let deadline = Instant::now() + Duration::from_secs(1);
        let (refused, _waits_on) =
            (pending.register(once, deadline), pending.register(maybe_twice, deadline));

        pending.may_be_stored_twice(maybe_twice);

        assert!(pending.was_taken_back(once) && !pending.was_taken_back(maybe_twice));
        assert!(matches!(refused.wait().await, Err(RequestErrorKind::NoWorker)));
        assert!(!pending.is_waited_for(once), "it is not sent again");
        assert!(pending.is_waited_for(maybe_twice));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_times_out_at_most_two_steps_late_never_early() {
        let pending = PendingReplies::default();
        let deadline = Instant::now() + Duration::from_millis(100);
        let waiting = pending.register(CorrelationId::mint(), deadline);

        assert_eq!(pending.expire(deadline - Duration::from_millis(1)), 0);
        assert_eq!(pending.expire(deadline + DEADLINE_STEP * 2), 1);

        assert!(matches!(waiting.wait().await, Err(RequestErrorKind::DeadlinePassed)));
        assert!(pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_callers_is_bounded() {
        let pending = PendingReplies::default();
        let deadline = Instant::now() + Duration::from_secs(1);
        let first = CorrelationId::mint();
        drop(pending.register(first, deadline));

        for _ in 0..LastIds::MOST {
            drop(pending.register(CorrelationId::mint(), deadline));
        }

        assert_eq!(pending.complete(first, received(first)), Completion::Unknown);
        assert_eq!(lock(&pending.0.abandoned).ids.len(), LastIds::MOST);
    }
}
