use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::RequestErrorKind;
use crate::envelope::{CorrelationId, Reply};

/// A reply as it came off the lane.
#[derive(Debug)]
pub struct Received {
    /// The reply.
    pub reply: Reply,
    /// When it was stored: Unix milliseconds in the server's clock, from its entry id.
    pub stored_ms: u64,
}

/// What a waiting caller gets in the end.
pub type Arrival = Result<Received, RequestErrorKind>;

/// What became of a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Its caller has it.
    Delivered,
    /// Its caller had gone.
    Late,
    /// It is nobody's here.
    Unknown,
}

/// Everybody who waits for a reply, by correlation id. Clones share everything.
///
/// A place is taken before the request is sent and given back by its guard's drop: on reply,
/// timeout, disconnect or panic. Nothing else removes it, so nothing leaks.
#[derive(Clone)]
pub struct PendingReplies(Arc<Inner>);

struct Inner {
    waiting: DashMap<CorrelationId, oneshot::Sender<Arrival>, foldhash::fast::RandomState>,
    /// How many: every request asks, and the map would lock each of its shards to tell.
    count: AtomicUsize,
    deadlines: Mutex<BTreeMap<u64, Vec<CorrelationId>>>,
    abandoned: Mutex<LastIds>,
    /// Their requests may be stored twice.
    doubted: Mutex<LastIds>,
    started: Instant,
}

/// A power of two well above the number of cores that write to it.
const SHARDS: usize = 32;

/// Deadlines are grouped into steps of this length: a caller waits at most one step too long.
/// One sweep per step costs less than a timer per request.
pub(super) const DEADLINE_STEP: Duration = Duration::from_millis(16);

impl Default for PendingReplies {
    fn default() -> Self {
        Self(Arc::new(Inner {
            waiting: DashMap::with_hasher_and_shard_amount(foldhash::fast::RandomState::default(), SHARDS),
            count: AtomicUsize::new(0),
            deadlines: Mutex::default(),
            abandoned: Mutex::default(),
            doubted: Mutex::default(),
            started: Instant::now(),
        }))
    }
}

impl PendingReplies {
    /// Takes a place for `id` until `deadline`.
    pub fn register(&self, id: CorrelationId, deadline: Instant) -> PendingGuard {
        let (sender, arrival) = oneshot::channel();
        if self.0.waiting.insert(id, sender).is_none() {
            self.0.count.fetch_add(1, Ordering::Relaxed);
        }
        let step = self.0.step_of(deadline) + 1;
        lock(&self.0.deadlines).entry(step).or_default().push(id);
        PendingGuard { id, pending: Arc::clone(&self.0), arrival, completed: false }
    }

    /// Hands `arrival` to whoever waits for `id`.
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

    /// Ends the waiting of everybody whose deadline has passed; returns how many.
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

    /// The request of `id` may be stored twice: it was sent again because the first try got no answer.
    pub(super) fn doubt(&self, id: CorrelationId) {
        lock(&self.0.doubted).insert(id);
    }

    /// True if somebody waits for `id`.
    pub(super) fn is_waited_for(&self, id: CorrelationId) -> bool {
        self.0.waiting.contains_key(&id)
    }

    /// True if somebody waits for `id` and its request is on the stream once at most.
    pub(super) fn was_stored_once(&self, id: CorrelationId) -> bool {
        self.is_waited_for(id) && !lock(&self.0.doubted).contains(id)
    }

    /// Tells whoever waits for `id` that nothing was done, because its only entry was taken back; false if
    /// there may be another one by now. From here on a doubt comes too late to send the request again: nobody
    /// waits for it.
    pub(super) fn was_taken_back(&self, id: CorrelationId) -> bool {
        let doubted = lock(&self.0.doubted);
        !doubted.contains(id) && self.complete(id, Err(RequestErrorKind::NoWorker)) == Completion::Delivered
    }

    /// How many callers wait.
    pub fn len(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// True if nobody waits.
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

/// One caller's place in [`PendingReplies`]; dropping it gives the place back.
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

/// The last ids of a kind. Those whose callers went without their reply tell a late reply from a foreign
/// one.
#[derive(Default)]
struct LastIds {
    order: VecDeque<CorrelationId>,
    ids: HashSet<CorrelationId, foldhash::fast::RandomState>,
}

impl LastIds {
    /// Enough for the callers that one outage takes with it.
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
    async fn a_reply_reaches_its_caller_and_nobody_else() {
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
            "a second reply reaches nobody"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_leaves_only_a_late_reply() {
        let pending = PendingReplies::default();
        let id = CorrelationId::mint();
        let waiting = pending.register(id, Instant::now() + Duration::from_secs(1));

        drop(waiting);

        assert!(pending.is_empty());
        assert_eq!(pending.complete(id, received(id)), Completion::Late);
        assert_eq!(pending.complete(CorrelationId::mint(), received(id)), Completion::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_was_done_is_said_of_requests_that_are_gone_only() {
        let pending = PendingReplies::default();
        let (sure, doubtful) = (CorrelationId::mint(), CorrelationId::mint());
        let deadline = Instant::now() + Duration::from_secs(1);
        let (told, _waits_on) = (pending.register(sure, deadline), pending.register(doubtful, deadline));

        pending.doubt(doubtful);

        assert!(pending.was_taken_back(sure) && !pending.was_taken_back(doubtful));
        assert!(matches!(told.wait().await, Err(RequestErrorKind::NoWorker)));
        assert!(!pending.is_waited_for(sure), "it is not sent again");
        assert!(pending.is_waited_for(doubtful));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_the_waiting_within_two_steps_and_never_early() {
        let pending = PendingReplies::default();
        let deadline = Instant::now() + Duration::from_millis(100);
        let waiting = pending.register(CorrelationId::mint(), deadline);

        assert_eq!(pending.expire(deadline - Duration::from_millis(1)), 0);
        assert_eq!(pending.expire(deadline + DEADLINE_STEP * 2), 1);

        assert!(matches!(waiting.wait().await, Err(RequestErrorKind::DeadlinePassed)));
        assert!(pending.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_of_abandoned_callers_is_bounded() {
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
