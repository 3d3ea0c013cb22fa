//! Shares the slots of the process among the queues that it serves.
//!
//! Queues whose entries wait take turns. In a turn each stream takes about the same number of entries, and of these its
//! priorities take 8:4:1. A queue without waiting entries, or whose upstream has no slot, gives its share to the others,
//! so that no slot is idle while an entry waits for it. A stream that holds nothing may always take one entry, so a
//! stream with slow work starves no other; the process may then hold one entry per stream above its limit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use routes::Priority;
use streamgate::resilience::ConcurrencyLimit;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A queue in the shares.
pub(super) type QueueId = u64;

/// How long a queue counts as hungry that does not ask again: it reads, or a fault keeps it from reading.
const HUNGRY_FOR: Duration = Duration::from_millis(100);

/// How often a waiting queue looks again, if nothing wakes it.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The most entries of a stream in a turn, in units of 13: low ones wait no longer than this turn.
const LONGEST_TURN: usize = 4;

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
    /// How many entries its upstreams can take now.
    free: Box<dyn Fn() -> usize + Send + Sync>,
    /// Entries that it may still take in this turn.
    credits: usize,
    /// Granted and not used yet.
    reserved: usize,
    /// It took as many entries as it was granted, so probably more wait.
    hungry: bool,
    /// It waits for a grant.
    asking: bool,
    /// When it last asked.
    asked: Instant,
}

impl Queue {
    /// True if it would take an entry now.
    fn competes(&self) -> bool {
        self.hungry && (self.asking || self.asked.elapsed() < HUNGRY_FOR) && (self.free)() > 0
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

    /// Adds a queue, whose upstreams can take `free` entries. Returns its slots.
    pub(super) fn add(
        &self,
        id: QueueId,
        stream: u64,
        priority: Priority,
        free: impl Fn() -> usize + Send + Sync + 'static,
    ) -> ConcurrencyLimit {
        let limit = self.whole.part(self.whole.limit());
        let queue = Queue {
            stream,
            priority,
            limit: limit.clone(),
            free: Box::new(free),
            credits: 0,
            reserved: 0,
            hungry: false,
            asking: false,
            asked: Instant::now(),
        };
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

    /// The queue waits for a grant until the guard is dropped.
    pub(super) fn asking(&self, id: QueueId) -> Asking<'_> {
        self.set_asking(id, true);
        Asking { shares: self, id }
    }

    fn set_asking(&self, id: QueueId, asking: bool) {
        if let Some(queue) = self.lock().get_mut(&id) {
            (queue.asking, queue.asked) = (asking, Instant::now());
        }
    }

    /// What the queue may take now, at most `most`; `None` if it has to wait.
    pub(super) fn share(&self, id: QueueId, most: usize) -> Option<Share> {
        let mut queues = self.lock();
        let reserved: usize = queues.values().map(|queue| queue.reserved).sum();
        let queue = queues.get(&id)?;
        let stream = queue.stream;
        let of_stream = queues.values().filter(|other| other.stream == stream);
        let held: usize = of_stream.map(|other| other.limit.taken() + other.reserved).sum();
        let (free, rivals_everywhere) = match self.whole.free().saturating_sub(reserved) {
            0 if held > 0 => return None,
            // The one entry that a stream may always have.
            0 => (1, false),
            free => (free, true),
        };
        let free = free.min((queue.free)()).min(most);
        if free == 0 {
            return None;
        }
        if !queue.hungry {
            return Some(Share { most: 1, at_once: false });
        }
        let is_rival = |(other, it): (&QueueId, &Queue)| {
            *other != id && (rivals_everywhere || it.stream == stream) && it.competes()
        };
        let most = if queues.iter().any(is_rival) {
            let has_credits = |(other, it): (&QueueId, &Queue)| it.credits > 0 && is_rival((other, it));
            if queue.credits == 0 && !queues.iter().any(has_credits) {
                start_turn(&mut queues, self.whole.limit());
                self.inner.changed.notify_waiters();
            }
            free.min(queues.get(&id)?.credits)
        } else {
            free
        };
        queues.get_mut(&id)?.reserved = most;
        (most > 0).then_some(Share { most, at_once: true })
    }

    /// Waits until a queue has used its share, or a slot may be free.
    pub(super) async fn changed(&self) {
        let changed = self.inner.changed.notified();
        tokio::select! {
            () = changed => {}
            _ = self.whole.wait_for_free(), if self.whole.free() == 0 => {}
            () = tokio::time::sleep(LOOK_AGAIN) => {}
        }
    }

    /// The queue has used its share: it took `taken` of `asked` entries.
    pub(super) fn took(&self, id: QueueId, asked: usize, taken: usize) {
        if let Some(queue) = self.lock().get_mut(&id) {
            queue.reserved = 0;
            queue.credits = queue.credits.saturating_sub(taken);
            (queue.hungry, queue.asked) = (taken >= asked.max(1), Instant::now());
        }
        self.inner.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Queue>> {
        self.inner.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue waits for a grant.
pub(super) struct Asking<'a> {
    shares: &'a Shares,
    id: QueueId,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.shares.set_asking(self.id, false);
    }
}

/// Gives each queue that competes its credits: as many for each stream, divided by priority. A turn has several units
/// of 13 entries, because a read for each entry would be slow.
fn start_turn(queues: &mut HashMap<QueueId, Queue>, slots: usize) {
    let mut shares: HashMap<u64, usize> = HashMap::new();
    for queue in queues.values().filter(|queue| queue.competes()) {
        *shares.entry(queue.stream).or_default() += queue.priority.share() as usize;
    }
    // 8, 4 and 1 of 13 are whole numbers.
    let turn = 13 * (slots / (13 * shares.len().max(1))).clamp(1, LONGEST_TURN);
    for queue in queues.values_mut() {
        let of_stream = shares.get(&queue.stream).copied().unwrap_or(1);
        queue.credits = match queue.competes() {
            true => (turn * queue.priority.share() as usize / of_stream).max(1),
            false => 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const ANY: fn() -> usize = || usize::MAX;

    /// Queues whose entries always wait take turns; each entry ends at once. How many each has taken.
    fn race(shares: &Shares, ids: &[QueueId], rounds: usize) -> HashMap<QueueId, usize> {
        let mut taken = HashMap::new();
        for id in ids {
            shares.took(*id, 1, 1);
        }
        for _ in 0..rounds {
            for id in ids {
                if let Some(share) = shares.share(*id, 256) {
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
                shares.add(id, 1, priority, ANY);
            }

            let taken = race(&shares, &[2, 1, 0], 13_000);

            let unit = taken[&2] as f64;
            let ratios = [taken[&0] as f64 / unit, taken[&1] as f64 / unit];
            assert!((ratios[0] - 8.0).abs() < 0.2 && (ratios[1] - 4.0).abs() < 0.2, "{slots}: {taken:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_low_entry_waits_for_one_turn_at_most() {
        let shares = Shares::new(1_000);
        shares.add(0, 1, Priority::High, ANY);
        shares.add(1, 1, Priority::Low, ANY);
        shares.took(0, 1, 1);
        shares.took(1, 1, 1);

        let before: usize = std::iter::from_fn(|| {
            if shares.share(1, 256).is_some() {
                return None;
            }
            let share = shares.share(0, 256).expect("one of them may take");
            shares.took(0, share.most, share.most);
            Some(share.most)
        })
        .sum();

        assert!(before <= 13 * LONGEST_TURN, "{before}");
    }

    #[tokio::test(start_paused = true)]
    async fn streams_take_the_same_whatever_their_priorities() {
        let shares = Shares::new(64);
        shares.add(0, 1, Priority::High, ANY);
        shares.add(1, 1, Priority::Low, ANY);
        shares.add(2, 2, Priority::Low, ANY);

        let taken = race(&shares, &[0, 1, 2], 2_000);

        let (first, second) = ((taken[&0] + taken[&1]) as f64, taken[&2] as f64);
        assert!((first / second - 1.0).abs() < 0.1, "{taken:?}");
        assert!(taken[&0] > 7 * taken[&1], "{taken:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_hungry_queue_alone_gets_all_slots() {
        let shares = Shares::new(64);
        shares.add(0, 1, Priority::Low, ANY);
        shares.add(1, 2, Priority::High, ANY);
        assert_eq!(shares.share(0, 256), Some(Share { most: 1, at_once: false }), "it may be idle");

        shares.took(0, 1, 1);

        assert_eq!(shares.share(0, 256), Some(Share { most: 64, at_once: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_holds_nothing_may_take_one_of_no_slots() {
        let shares = Shares::new(2);
        let hog = shares.add(0, 1, Priority::High, ANY);
        shares.add(1, 1, Priority::Low, ANY);
        let other = shares.add(2, 2, Priority::Low, ANY);
        let _held = [hog.take_over(), hog.take_over()];
        shares.took(0, 1, 1);

        assert_eq!((shares.share(0, 256), shares.share(1, 256)), (None, None), "its stream holds two");
        assert_eq!(shares.share(2, 256), Some(Share { most: 1, at_once: false }));
        let _one = other.take_over();
        assert_eq!(shares.share(2, 256), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_without_an_upstream_holds_up_no_other() {
        let (shares, free) = (Shares::new(13), Arc::new(AtomicUsize::new(5)));
        let of_upstream = Arc::clone(&free);
        shares.add(0, 1, Priority::High, move || of_upstream.load(Ordering::SeqCst));
        shares.add(1, 1, Priority::Low, ANY);
        race(&shares, &[0, 1], 10);
        let _asking = shares.asking(0);
        assert_eq!(shares.share(0, 256).map(|share| share.most <= 5), Some(true));
        shares.took(0, 5, 5);

        free.store(0, Ordering::SeqCst);

        assert_eq!(shares.share(0, 256), None);
        assert_eq!(shares.share(1, 256), Some(Share { most: 13, at_once: true }));
    }

    #[tokio::test(start_paused = true)]
    async fn a_freed_slot_wakes_a_queue_that_waits() {
        let shares = Shares::new(1);
        let limit = shares.add(0, 1, Priority::Normal, ANY);
        let held = limit.take_over();
        shares.took(0, 1, 1);
        assert_eq!(shares.share(0, 256), None);

        tokio::join!(shares.changed(), async { drop(held) });

        assert_eq!(shares.share(0, 256), Some(Share { most: 1, at_once: true }));
    }
}
