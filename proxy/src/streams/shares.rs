//! Shares the slots of the process among the queues that it serves.
//!
//! Queues whose entries wait take turns. In a turn each stream takes about the same number of entries, and of these its
//! priorities take 8:4:1. A queue without waiting entries gives its share to the others, so that no slot is idle while
//! an entry waits. A queue that holds nothing may always take one entry, so a queue with slow work starves no other;
//! the process may then hold one entry per queue above its limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use routes::Priority;
use streamgate::resilience::ConcurrencyLimit;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue in the shares.
pub(super) type QueueId = u64;

/// How long a queue counts as hungry that does not ask again.
const HUNGRY_FOR: Duration = Duration::from_millis(100);

/// How often a waiting queue looks again, if no slot becomes free.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The shares of a process. Clones share all state.
#[derive(Clone)]
pub(super) struct Shares {
    whole: ConcurrencyLimit,
    inner: Arc<Inner>,
}

struct Inner {
    queues: Mutex<HashMap<QueueId, Queue>>,
    changed: Notify,
}

struct Queue {
    /// Queues with one number belong to one stream.
    stream: u64,
    priority: Priority,
    limit: ConcurrencyLimit,
    /// Entries that it may still take in this turn.
    credits: usize,
    /// Granted and not used yet.
    reserved: usize,
    /// When it last took as many entries as it was granted, or asked while slots were scarce.
    hungry: Option<Instant>,
}

impl Queue {
    fn is_hungry(&self) -> bool {
        self.hungry.is_some_and(|since| since.elapsed() < HUNGRY_FOR)
    }
}

/// What a queue may take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) most: usize,
    /// True if entries probably wait: then the queue must not wait for more, because the slots are reserved.
    pub(super) at_once: bool,
}

impl Shares {
    pub(super) fn new(slots: usize) -> Self {
        let inner = Inner { queues: Mutex::default(), changed: Notify::new() };
        Self { whole: ConcurrencyLimit::new(slots), inner: Arc::new(inner) }
    }

    /// Adds a queue, and returns its slots.
    pub(super) fn add(&self, id: QueueId, stream: u64, priority: Priority) -> ConcurrencyLimit {
        let limit = self.whole.part(self.whole.limit());
        let queue = Queue { stream, priority, limit: limit.clone(), credits: 0, reserved: 0, hungry: None };
        self.lock().insert(id, queue);
        limit
    }

    /// The number of the stream of a queue.
    pub(super) fn stream_of(&self, id: QueueId) -> Option<u64> {
        self.lock().get(&id).map(|queue| queue.stream)
    }

    pub(super) fn remove(&self, id: QueueId) {
        self.lock().remove(&id);
        self.inner.changed.notify_waiters();
    }

    /// Waits until the queue may take entries.
    pub(super) async fn share(&self, id: QueueId) -> Share {
        loop {
            let changed = self.inner.changed.notified();
            if let Some(share) = self.try_share(id) {
                return share;
            }
            tokio::select! {
                () = changed => {}
                _ = self.whole.wait_for_free(), if self.whole.free() == 0 => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    fn try_share(&self, id: QueueId) -> Option<Share> {
        let mut queues = self.lock();
        let reserved: usize = queues.values().map(|queue| queue.reserved).sum();
        let free = self.whole.free().saturating_sub(reserved);
        let queue = queues.get_mut(&id)?;
        if queue.hungry.is_none() || (free == 0 && queue.limit.taken() == 0) {
            let one = Share { most: 1, at_once: false };
            return (free > 0 || queue.limit.taken() == 0).then_some(one);
        }
        // It waits for slots or for its turn, so it stays hungry.
        queue.hungry = Some(Instant::now());
        if free == 0 {
            return None;
        }
        if queues.iter().all(|(other, queue)| *other == id || !queue.is_hungry()) {
            let queue = queues.get_mut(&id)?;
            (queue.reserved, queue.credits) = (free, 0);
            return Some(Share { most: free, at_once: true });
        }
        if queues.values().all(|queue| !queue.is_hungry() || queue.credits == 0) {
            start_turn(&mut queues, self.whole.limit());
            self.inner.changed.notify_waiters();
        }
        let queue = queues.get_mut(&id)?;
        let most = free.min(queue.credits);
        queue.reserved = most;
        (most > 0).then_some(Share { most, at_once: true })
    }

    /// The queue has used its share: it took `taken` of `asked` entries.
    pub(super) fn took(&self, id: QueueId, asked: usize, taken: usize) {
        if let Some(queue) = self.lock().get_mut(&id) {
            queue.reserved = 0;
            queue.credits = queue.credits.saturating_sub(taken);
            queue.hungry = (taken >= asked.max(1)).then(Instant::now);
        }
        self.inner.changed.notify_waiters();
    }

    /// The queue has not used its share.
    pub(super) fn gives_back(&self, id: QueueId) {
        if let Some(queue) = self.lock().get_mut(&id) {
            queue.reserved = 0;
        }
        self.inner.changed.notify_waiters();
    }

    /// The queue must wait for something else than slots: it does not compete.
    pub(super) fn rests(&self, id: QueueId) {
        if let Some(queue) = self.lock().get_mut(&id) {
            // Not forgotten: entries probably still wait, so it asks for more than one when it goes on.
            queue.hungry = queue.hungry.and_then(|_| Instant::now().checked_sub(HUNGRY_FOR));
        }
        self.inner.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Queue>> {
        self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives each hungry queue its credits: as many for each stream, divided by priority. A turn has about as many entries
/// as there are slots, because a read for each entry would be slow.
fn start_turn(queues: &mut HashMap<QueueId, Queue>, slots: usize) {
    let mut shares: HashMap<u64, usize> = HashMap::new();
    for queue in queues.values().filter(|queue| queue.is_hungry()) {
        *shares.entry(queue.stream).or_default() += queue.priority.share() as usize;
    }
    let streams = shares.len().max(1);
    // 8, 4 and 1 of 13 are whole numbers.
    let turn = 13 * (slots / (13 * streams)).max(1);
    for queue in queues.values_mut() {
        let of_stream = shares.get(&queue.stream).copied().unwrap_or(1);
        queue.credits = match queue.is_hungry() {
            true => (turn * queue.priority.share() as usize / of_stream).max(1),
            false => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Queues whose entries always wait take turns; each entry ends at once. How many each has taken.
    fn race(shares: &Shares, ids: &[QueueId], turns: usize) -> HashMap<QueueId, usize> {
        let mut taken = HashMap::new();
        for id in ids {
            shares.took(*id, 1, 1);
        }
        for _ in 0..turns {
            for id in ids {
                if let Some(share) = shares.try_share(*id) {
                    *taken.entry(*id).or_default() += share.most;
                    shares.took(*id, share.most, share.most);
                }
            }
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_priorities_of_a_stream_take_8_to_4_to_1() {
        for slots in [1, 5, 13, 256] {
            let shares = Shares::new(slots);
            for (id, priority) in (0..).zip(Priority::ALL) {
                shares.add(id, 1, priority);
            }

            let taken = race(&shares, &[2, 1, 0], 13_000);

            let unit = taken[&2] as f64;
            let ratios = [taken[&0] as f64 / unit, taken[&1] as f64 / unit];
            assert!((ratios[0] - 8.0).abs() < 0.2 && (ratios[1] - 4.0).abs() < 0.2, "{slots}: {taken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn streams_take_the_same_whatever_their_priorities() {
        let shares = Shares::new(64);
        shares.add(0, 1, Priority::High);
        shares.add(1, 1, Priority::Low);
        shares.add(2, 2, Priority::Low);

        let taken = race(&shares, &[0, 1, 2], 1_000);

        let (first, second) = ((taken[&0] + taken[&1]) as f64, taken[&2] as f64);
        assert!((first / second - 1.0).abs() < 0.1, "{taken:?}");
        assert!((taken[&0] as f64 / taken[&1] as f64 - 8.0).abs() < 2.0, "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hungry_queue_alone_gets_all_slots() {
        let shares = Shares::new(64);
        shares.add(0, 1, Priority::Low);
        shares.add(1, 2, Priority::High);
        assert_eq!(shares.try_share(0), Some(Share { most: 1, at_once: false }), "it may be idle");

        shares.took(0, 1, 1);

        assert_eq!(shares.try_share(0), Some(Share { most: 64, at_once: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_holds_nothing_may_take_one_of_no_slots() {
        let shares = Shares::new(2);
        let hog = shares.add(0, 1, Priority::High);
        shares.add(1, 2, Priority::Low);
        let _held = [hog.take_over(), hog.take_over()];
        shares.took(0, 1, 1);

        assert_eq!(shares.try_share(0), None);
        assert_eq!(shares.try_share(1), Some(Share { most: 1, at_once: false }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_rests_does_not_hold_up_the_others() {
        let shares = Shares::new(13);
        shares.add(0, 1, Priority::High);
        shares.add(1, 1, Priority::Low);
        race(&shares, &[0, 1], 10);

        shares.rests(0);

        assert_eq!(shares.try_share(1), Some(Share { most: 13, at_once: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_freed_slot_wakes_a_queue_that_waits() {
        let shares = Shares::new(1);
        let limit = shares.add(0, 1, Priority::Normal);
        let held = limit.take_over();
        shares.took(0, 1, 1);

        let waiting = tokio::spawn({
            let shares = shares.clone();
            async move { shares.share(0).await }
        });
        tokio::task::yield_now().await;
        drop(held);

        assert_eq!(waiting.await.expect("joins"), Share { most: 1, at_once: true });
    }
}
