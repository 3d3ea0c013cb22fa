//! Takes one entry to its settlement: runs the job while it watches the lease, the time and panics.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::job::{Conclusion, Job, Outgoing};
use super::metrics::WorkerMetrics;
use crate::resilience::{ConcurrencyLimit, Slot, UsualTime};
use crate::stream::{Disposition, LeasedEntry};

/// What all tasks of one worker share.
pub(crate) struct Execution<J: Job> {
    pub(super) job: J,
    pub(crate) metrics: WorkerMetrics,
    pub(super) limit: ConcurrencyLimit,
    pub(super) settled: mpsc::UnboundedSender<Settlement<J::Reply>>,
    /// Ordinary work holds a read lock. A suspect, an entry that may kill workers, holds the write lock.
    pub(super) isolation: Arc<RwLock<()>>,
    /// Cancelled when the grace period of a stopping worker ends.
    pub(super) abandon: CancellationToken,
    /// The usual time in the handler.
    pub(crate) usual_work: UsualTime,
    /// The runtime has one thread, so work in the read loop delays other tasks no more than work in a task would.
    pub(super) one_thread: bool,
}

/// How a handler ended.
pub(crate) enum Outcome<T> {
    /// It returned.
    Returned(T),
    /// It panicked.
    Panicked,
    /// Its time was up.
    TimedOut,
    /// Another consumer has the entry.
    LeaseLost,
    /// The worker stops and waits no longer.
    Abandoned,
}

impl<J: Job> Execution<J> {
    /// `None` if the lease was lost: another worker settles the entry.
    pub(super) async fn work(&self, delivery: LeasedEntry, slot: Slot) -> Option<Settlement<J::Reply>> {
        let task = match self.job.accept(&delivery) {
            Ok(task) => task,
            Err(conclusion) => return Some(Settlement::new(delivery, slot, None, conclusion)),
        };
        let alone = if delivery.lease.is_suspect() {
            Some(Arc::clone(&self.isolation).write_owned().await)
        } else {
            None
        };
        let _together = match alone {
            None => Some(self.isolation.read().await),
            Some(_) => None,
        };
        if delivery.lease.is_lost() {
            return None;
        }
        let conclusion = self.job.perform(task, &delivery, self).await?;
        Some(Settlement::new(delivery, slot, alone, conclusion))
    }

    /// Runs a handler until it ends, its time is up, its lease is lost or the worker stops.
    pub(crate) async fn watch<T>(
        &self,
        handler: impl Future<Output = T>,
        until: Instant,
        delivery: &LeasedEntry,
    ) -> Outcome<T> {
        if self.abandon.is_cancelled() {
            return Outcome::Abandoned;
        }
        let handler = pin!(AssertUnwindSafe(handler).catch_unwind());
        tokio::select! {
            biased;
            result = tokio::time::timeout_at(until, handler) => match result {
                Ok(Ok(value)) => Outcome::Returned(value),
                Ok(Err(_panic)) => Outcome::Panicked,
                Err(_elapsed) => Outcome::TimedOut,
            },
            () = delivery.lease.lost() => Outcome::LeaseLost,
            () = self.abandon.cancelled() => Outcome::Abandoned,
        }
    }
}

/// A delivery whose work has ended, with or without success. It keeps its lease and its slot until it is settled.
pub(super) struct Settlement<R> {
    pub(super) delivery: LeasedEntry,
    /// Counts against the worker's concurrency until then. If Redis refuses replies, the worker therefore reads less
    /// instead of filling its memory.
    _slot: Slot,
    /// The write lock of a suspect, which must run alone until it is settled.
    _alone: Option<OwnedRwLockWriteGuard<()>>,
    /// The reply; `None` if the caller no longer waits, or there is none.
    pub(super) reply: Option<R>,
    /// What to do with the entry once the reply is stored.
    pub(super) disposition: Disposition,
}

impl<R> Settlement<R> {
    pub(super) fn new(
        delivery: LeasedEntry,
        slot: Slot,
        alone: Option<OwnedRwLockWriteGuard<()>>,
        conclusion: Conclusion<R>,
    ) -> Self {
        let Conclusion { reply, disposition } = conclusion;
        Self { delivery, _slot: slot, _alone: alone, reply, disposition }
    }
}

impl<R: Outgoing> Settlement<R> {
    pub(super) fn lane(&self) -> Option<&Arc<str>> {
        self.reply.as_ref().map(Outgoing::lane)
    }
}
