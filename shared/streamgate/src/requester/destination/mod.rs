//! One request stream of a requester: who works on it, and how long a new request would wait.
//!
//! In reading order: `admission` decides whether a request may be sent; `worker_presence` watches the workers; if none
//! is alive, `take_back` removes requests from the stream; `untrimmed` watches the stream.

mod admission;
mod take_back;
mod untrimmed;
mod worker_presence;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(super) use self::admission::{Admission, RETRY_AFTER, retry_after};
pub(super) use self::worker_presence::WorkerPresence;
use super::metrics::DestinationMetrics;
use super::settings::DestinationSettings;
use super::until;
use crate::stream::StreamKey;
use crate::telemetry::Latch;

/// A request stream that a [`Requester`](super::Requester) sends to. Clones share everything, and cost as much as a
/// clone of an [`Arc`].
#[derive(Clone)]
pub struct Destination(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: DestinationSettings,
    pub(super) admission: Admission,
    pub(super) metrics: DestinationMetrics,
    /// True once it was removed. Its last callers still get their answers.
    removed: AtomicBool,
    /// Cancelled when nothing needs this destination any more.
    pub(super) closed: CancellationToken,
}

impl Destination {
    pub(super) fn new(
        settings: DestinationSettings,
        admission: Admission,
        metrics: DestinationMetrics,
        closed: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner { settings, admission, metrics, removed: AtomicBool::new(false), closed }))
    }

    /// The stream.
    pub fn stream(&self) -> &StreamKey {
        &self.0.settings.stream
    }

    /// The number of callers that wait for a worker of this stream.
    pub fn pending(&self) -> usize {
        self.0.admission.pending.len()
    }

    /// The number of live workers; `None` if the workers are not watched or the number is not known now.
    pub fn workers_alive(&self) -> Option<usize> {
        self.0.admission.workers.as_ref().and_then(WorkerPresence::alive)
    }

    /// True if no worker has given a sign of life for longer than the grace period, or none ever. Then requests
    /// are refused.
    pub fn workers_are_absent(&self) -> bool {
        self.0.admission.workers.as_ref().is_some_and(|workers| workers.are_absent(Instant::now()))
    }

    /// True while Redis permits every command that this stream needs. A new destination is not permitted until Redis
    /// has been asked once; until then requests are refused.
    pub fn is_permitted(&self) -> bool {
        self.0.admission.permitted.is_set()
    }

    /// True if it was removed and none of its callers waits any more.
    pub(super) fn is_done(&self) -> bool {
        self.0.removed.load(Ordering::Relaxed) && self.pending() == 0
    }

    pub(super) fn set_removed(&self, removed: bool) {
        self.0.removed.store(removed, Ordering::Relaxed);
    }

    /// Rehearses the commands of this stream and keeps `permitted`.
    pub(super) async fn rehearse(self, permitted: Latch) {
        let Inner { settings, admission, closed, .. } = &*self.0;
        settings.rehearsal().keep(admission.redis.clone(), permitted, closed.clone()).await;
    }

    /// Watches the workers, if the settings name their group. `streams` is how many streams are watched.
    pub(super) async fn watch_workers(self, streams: Arc<AtomicUsize>) {
        let Inner { settings, admission, metrics, closed, .. } = &*self.0;
        match &admission.workers {
            Some(workers) => {
                let Admission { redis, pending, .. } = admission;
                let watch = workers.watch(redis, pending, &settings.stream, metrics, &streams);
                until(closed.clone(), watch).await;
            }
            None => closed.cancelled().await,
        }
    }

    /// Watches whether the stream is trimmed.
    pub(super) async fn watch_trimming(self) {
        let Inner { settings, admission, metrics, closed, .. } = &*self.0;
        let watch =
            untrimmed::watch(admission.redis.clone(), settings.stream.clone(), metrics.untrimmed.clone());
        until(closed.clone(), watch).await;
    }

    /// Updates the gauges and the wait estimate, `elapsed` after the last time.
    pub(super) fn sweep(&self, elapsed: Duration) {
        let Inner { admission, metrics, .. } = &*self.0;
        let (line, waiting) = (admission.pending.line(), admission.pending.len());
        metrics.timeouts.increment(line.take_timeouts());
        line.estimate.tick(waiting, elapsed);
        metrics.pending.set(waiting as f64);
        metrics.estimated_wait.set(line.estimate.wait(waiting).unwrap_or_default().as_secs_f64());
    }

    /// Ends its watchers. Its series stay, at zero where they tell a state.
    pub(super) fn close(&self) {
        let Inner { metrics, closed, .. } = &*self.0;
        closed.cancel();
        for gauge in [&metrics.pending, &metrics.estimated_wait, &metrics.workers_alive, &metrics.untrimmed] {
            gauge.set(0.0);
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Destination").field(self.stream()).finish()
    }
}

/// Two handles are equal if they are of the same destination of the same requester.
impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
