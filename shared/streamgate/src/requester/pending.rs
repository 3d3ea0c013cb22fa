use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::error::RequestErrorKind;
use super::last_ids::LastIds;
use crate::envelope::{CorrelationId, Reply};
use crate::resilience::WaitEstimate;

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
/// Callers of several streams wait in one map, each in the line of its stream. A handle is that of one line: it adds
/// callers to this line and counts them, and completes those of all lines.
///
/// A caller gets a place before its request is sent. The guard frees the place when it is dropped: after a reply, a
/// timeout, a disconnect or a panic. So no place leaks.
#[derive(Clone)]
pub struct PendingReplies {
    all: Arc<Inner>,
    line: Arc<Line>,
}

/// The callers of one stream.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: AtomicUsize,
    /// Deadlines that passed since [`Line::take_timeouts`].
    timeouts: AtomicU64,
    /// How long a new caller would wait.
    pub(super) estimate: WaitEstimate,
}

struct Waiting {
    sender: oneshot::Sender<Arrival>,
    line: Arc<Line>,
}

struct Inner {
    waiting: DashMap<CorrelationId, Waiting, foldhash::fast::RandomState>,
    /// The size of `waiting`. Every request needs it, and the map would lock each of its shards to count.
    count: AtomicUsize,
    deadlines: Mutex<BTreeMap<u64, Vec<CorrelationId>>>,
    /// Ids of callers that went without a reply, and their lines. They tell a late reply from one for another process.
    abandoned: Mutex<LastIds<Arc<Line>>>,
    /// Ids of requests that may be stored twice.
    maybe_twice: Mutex<LastIds<()>>,
    started: Instant,
}

/// Shards of the map: a power of two well above the number of cores that write to it.
const SHARDS: usize = 32;

/// Deadlines are grouped into steps of this length. One sweep per step costs less than a timer per request; a caller
/// waits at most two steps too long.
pub(super) const DEADLINE_STEP: Duration = Duration::from_millis(16);

impl Default for PendingReplies {
    fn default() -> Self {
        let all = Inner {
            waiting: DashMap::with_hasher_and_shard_amount(foldhash::fast::RandomState::default(), SHARDS),
            count: AtomicUsize::new(0),
            deadlines: Mutex::default(),
            abandoned: Mutex::default(),
            maybe_twice: Mutex::default(),
            started: Instant::now(),
        };
        Self { all: Arc::new(all), line: Arc::default() }
    }
}

impl PendingReplies {
    /// A handle for the callers of another stream.
    pub(super) fn other_line(&self) -> Self {
        Self { all: Arc::clone(&self.all), line: Arc::default() }
    }

    /// The line of this handle.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    /// Adds a caller that waits for `id` until `deadline`.
    pub fn register(&self, id: CorrelationId, deadline: Instant) -> PendingGuard {
        let (sender, arrival) = oneshot::channel();
        if self.all.waiting.insert(id, Waiting { sender, line: Arc::clone(&self.line) }).is_none() {
            self.all.count.fetch_add(1, Ordering::Relaxed);
            self.line.waiting.fetch_add(1, Ordering::Relaxed);
        }
        let step = self.all.step_of(deadline) + 1;
        lock(&self.all.deadlines).entry(step).or_default().push(id);
        PendingGuard { id, pending: self.clone(), arrival, completed: false }
    }

    /// Gives `arrival` to the caller that waits for `id`.
    pub fn complete(&self, id: CorrelationId, arrival: Arrival) -> Completion {
        self.complete_in_line(id, arrival).0
    }

    /// As [`PendingReplies::complete`]; returns also the line of the caller, unless it is unknown.
    pub(super) fn complete_in_line(
        &self,
        id: CorrelationId,
        arrival: Arrival,
    ) -> (Completion, Option<Arc<Line>>) {
        match self.all.remove(id) {
            Some(Waiting { sender, line }) => match sender.send(arrival) {
                Ok(()) => (Completion::Delivered, Some(line)),
                Err(_gone) => (Completion::Late, Some(line)),
            },
            None => match lock(&self.all.abandoned).get(id) {
                Some(line) => (Completion::Late, Some(Arc::clone(line))),
                None => (Completion::Unknown, None),
            },
        }
    }

    /// Completes the callers whose deadline has passed; returns how many.
    pub fn expire(&self, now: Instant) -> usize {
        let passed = {
            let mut deadlines = lock(&self.all.deadlines);
            let later = deadlines.split_off(&(self.all.step_of(now) + 1));
            std::mem::replace(&mut *deadlines, later)
        };
        let ids = passed.into_values().flatten();
        ids.filter(|id| match self.all.remove(*id) {
            Some(Waiting { sender, line }) => {
                let waited = sender.send(Err(RequestErrorKind::DeadlinePassed)).is_ok();
                line.timeouts.fetch_add(u64::from(waited), Ordering::Relaxed);
                waited
            }
            None => false,
        })
        .count()
    }

    /// Notes that the request `id` may be stored twice: a try got no answer, and the request may be sent again.
    pub(super) fn may_be_stored_twice(&self, id: CorrelationId) {
        lock(&self.all.maybe_twice).insert(id, ());
    }

    /// True if a caller waits for `id`.
    pub(super) fn is_waited_for(&self, id: CorrelationId) -> bool {
        self.all.waiting.contains_key(&id)
    }

    /// True if a caller waits for `id` and the request is on the stream at most once.
    pub(super) fn was_stored_once(&self, id: CorrelationId) -> bool {
        self.is_waited_for(id) && lock(&self.all.maybe_twice).get(id).is_none()
    }

    /// The only entry of `id` was taken back: tells the caller that no work was done. False if the request may
    /// meanwhile be stored a second time. After this the writer does not send the request again, because no caller
    /// waits for it.
    pub(super) fn was_taken_back(&self, id: CorrelationId) -> bool {
        let maybe_twice = lock(&self.all.maybe_twice);
        maybe_twice.get(id).is_none()
            && self.complete(id, Err(RequestErrorKind::NoWorker)) == Completion::Delivered
    }

    /// The number of callers that wait in this line.
    pub fn len(&self) -> usize {
        self.line.waiting.load(Ordering::Relaxed)
    }

    /// The number of callers that wait in all lines.
    pub fn total(&self) -> usize {
        self.all.count.load(Ordering::Relaxed)
    }

    /// True if no caller waits in this line.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Line {
    /// The number of deadlines that passed since the last call.
    pub(super) fn take_timeouts(&self) -> u64 {
        self.timeouts.swap(0, Ordering::Relaxed)
    }
}

impl Inner {
    fn remove(&self, id: CorrelationId) -> Option<Waiting> {
        let (_, waiting) = self.waiting.remove(&id)?;
        self.count.fetch_sub(1, Ordering::Relaxed);
        waiting.line.waiting.fetch_sub(1, Ordering::Relaxed);
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
    pending: PendingReplies,
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
            let PendingReplies { all, line } = &self.pending;
            all.remove(self.id);
            lock(&all.abandoned).insert(self.id, Arc::clone(line));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::last_ids::MOST_IDS;
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
    async fn callers_of_several_streams_share_the_map_not_the_line() {
        let orders = PendingReplies::default();
        let mails = orders.other_line();
        let (order, mail) = (CorrelationId::mint(), CorrelationId::mint());
        let deadline = Instant::now() + Duration::from_secs(1);
        let (_waits, leaves) = (orders.register(order, deadline), mails.register(mail, deadline));
        assert_eq!((orders.len(), mails.len(), mails.total()), (1, 1, 2));

        drop(leaves);
        let (late, line) = orders.complete_in_line(mail, received(mail));
        assert_eq!((late, orders.len(), mails.len()), (Completion::Late, 1, 0));
        assert!(line.is_some_and(|line| Arc::ptr_eq(&line, &mails.line)), "the line is remembered");
        assert_eq!(mails.expire(deadline + DEADLINE_STEP * 2), 1, "deadlines of all lines are swept");

        assert_eq!((orders.total(), mails.is_empty()), (0, true));
        assert_eq!((orders.line().take_timeouts(), mails.line().take_timeouts()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_callers_is_bounded() {
        let pending = PendingReplies::default();
        let deadline = Instant::now() + Duration::from_secs(1);
        let first = CorrelationId::mint();
        drop(pending.register(first, deadline));

        for _ in 0..MOST_IDS {
            drop(pending.register(CorrelationId::mint(), deadline));
        }

        assert_eq!(pending.complete(first, received(first)), Completion::Unknown);
    }
}
