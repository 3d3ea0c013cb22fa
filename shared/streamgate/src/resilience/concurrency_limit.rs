use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A bound on the number of requests in progress.
///
/// Unlike a semaphore it tells how many slots are free, for a reader that takes several entries at a time.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    taken: AtomicUsize,
    freed: Notify,
    /// Each slot taken here is one taken there.
    whole: Option<ConcurrencyLimit>,
}

impl ConcurrencyLimit {
    /// A limit of `limit` slots; at least 1.
    pub fn new(limit: usize) -> Self {
        Self::within(limit, None)
    }

    /// A limit of its own for a part of this one: each slot taken of the part is also taken of the whole. Slots of a
    /// part are taken even if the whole has none free; whoever shares them out looks at both.
    #[must_use]
    pub fn part(&self, limit: usize) -> Self {
        Self::within(limit, Some(self.clone()))
    }

    fn within(limit: usize, whole: Option<Self>) -> Self {
        Self(Arc::new(Inner { limit: limit.max(1), taken: AtomicUsize::new(0), freed: Notify::new(), whole }))
    }

    /// The number of slots.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// The number of taken slots.
    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Acquire)
    }

    /// The number of free slots.
    pub fn free(&self) -> usize {
        self.limit().saturating_sub(self.taken())
    }

    /// Takes a slot if one is free.
    pub fn try_take(&self) -> Option<Slot> {
        self.0
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| {
                (taken < self.0.limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| self.slot())
    }

    /// Takes a slot even if none is free: for a delivery that has arrived and must not be refused.
    /// [`ConcurrencyLimit::free`] stays 0 until enough slots are released.
    pub fn take_over(&self) -> Slot {
        self.0.taken.fetch_add(1, Ordering::AcqRel);
        self.slot()
    }

    /// The slot that was counted here, and one of the whole.
    fn slot(&self) -> Slot {
        let of_whole = self.0.whole.as_ref().map(|whole| Box::new(whole.take_over()));
        Slot { inner: Arc::clone(&self.0), _of_whole: of_whole }
    }

    /// Waits until at least one slot is free; returns how many are.
    pub async fn wait_for_free(&self) -> usize {
        loop {
            let freed = self.0.freed.notified();
            match self.free() {
                0 => freed.await,
                free => return free,
            }
        }
    }

    /// Waits until no slot is taken.
    pub async fn wait_until_idle(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.taken() == 0 {
                return;
            }
            freed.await;
        }
    }
}

/// One taken slot; dropping it frees the slot.
#[derive(Debug)]
pub struct Slot {
    inner: Arc<Inner>,
    _of_whole: Option<Box<Slot>>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.inner.taken.fetch_sub(1, Ordering::AcqRel);
        self.inner.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dropped_slot_wakes_a_task_that_waits_for_one() {
        let limit = ConcurrencyLimit::new(1);
        let slot = limit.try_take().expect("free");
        assert!(limit.try_take().is_none());

        let waiting = tokio::spawn({
            let limit = limit.clone();
            async move { limit.wait_for_free().await }
        });
        tokio::task::yield_now().await;
        drop(slot);

        assert_eq!(waiting.await.expect("joins"), 1);
    }

    #[tokio::test]
    async fn slots_of_the_parts_are_slots_of_the_whole() {
        let whole = ConcurrencyLimit::new(2);
        let (one, other) = (whole.part(2), whole.part(2));

        let first = one.take_over();
        let _second = other.try_take().expect("free");
        assert_eq!((whole.free(), one.free(), other.free()), (0, 1, 1));

        drop(first);
        assert_eq!((whole.wait_for_free().await, one.free()), (1, 2));
    }

    #[tokio::test]
    async fn work_taken_over_the_limit_counts_until_it_ends() {
        let limit = ConcurrencyLimit::new(1);
        let first = limit.take_over();
        let second = limit.take_over();

        drop(first);
        assert_eq!((limit.taken(), limit.free()), (1, 0));

        drop(second);
        limit.wait_until_idle().await;
        assert_eq!(limit.free(), 1);
    }
}
