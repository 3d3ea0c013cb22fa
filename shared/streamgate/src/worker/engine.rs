//! The parts of a worker, from its start to its end: every kind of worker runs on this engine.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::due::{DueEntries, DueTime};
use super::execution::Execution;
use super::intake::Intake;
use super::job::Job;
use super::metrics::{ReplyMetrics, WorkerMetrics};
use super::read_loop::ReadLoop;
use super::settler::Settler;
use crate::connection::{Redis, Rehearsal};
use crate::resilience::{ConcurrencyLimit, UsualTime};
use crate::stream::{Claimer, Consumer, ConsumerGroup, Delays, Housekeeping, HousekeepingSettings, Leases};
use crate::telemetry::Latch;

/// A worker that has not started.
pub(crate) struct Engine<J> {
    pub(crate) redis: Redis,
    pub(crate) group: ConsumerGroup,
    pub(crate) job: J,
    pub(crate) metrics: WorkerMetrics,
    pub(crate) replies: ReplyMetrics,
    /// The most entries that the worker works on at once.
    pub(crate) concurrency: usize,
    /// Limits what the worker takes, and has its slots instead of `concurrency`.
    pub(crate) intake: Option<Arc<dyn Intake>>,
    /// `None`: it does not trim.
    pub(crate) housekeeping: Option<HousekeepingSettings>,
    /// How long an unused reply lane is kept.
    pub(crate) lane_ttl: Duration,
    /// True if its entries may be tried again after a delay.
    pub(crate) delays: bool,
    /// The commands that the worker needs.
    pub(crate) rehearsal: Rehearsal,
    /// Set while the worker can read the stream.
    pub(crate) reading: Latch,
    /// Set while Redis permits every command that the worker needs.
    pub(crate) permitted: Latch,
}

/// Time for a stopping worker to hand back the entries that it could not finish.
const HAND_BACK_TIME: Duration = Duration::from_secs(1);

impl<J: Job> Engine<J> {
    /// Works until `stop`. Then it finishes the entries it holds within `grace`, hands back the others and leaves
    /// the group. If another worker with its name is alive, this worker takes a different name.
    pub(crate) async fn run(self, stop: CancellationToken, grace: Duration) -> Result<(), PartEnded> {
        let Self { redis, group, mut job, concurrency, intake, delays, reading, permitted, .. } = self;
        let may_work = permitted.view();
        let drained = CancellationToken::new();
        let _drained = drained.clone().drop_guard();
        tokio::spawn(self.rehearsal.keep(redis.clone(), permitted, drained.clone()));
        let leases = Leases::new(group.clone());
        let mut consumer = Consumer::new(group.clone(), leases.clone());
        consumer.join(&stop).await;
        job.joined(group.consumer());
        let own_slots = || ConcurrencyLimit::new(concurrency);
        let limit = intake.as_ref().map_or_else(own_slots, |intake| intake.limit().clone());
        let (settled, queue) = mpsc::unbounded_channel();
        let execution = Arc::new(Execution {
            job,
            metrics: self.metrics,
            limit: limit.clone(),
            settled,
            isolation: Arc::new(RwLock::new(())),
            abandon: CancellationToken::new(),
            usual_work: UsualTime::default(),
            one_thread: Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread,
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = redis.clock().known() => {}
        }

        let due_time = DueTime::new(consumer.waker());
        let settler =
            Settler::new(group.clone(), self.replies, leases.clone(), self.lane_ttl, queue, due_time.clone());
        let mut settler = tokio::spawn(settler.run());
        let housekeeping = self.housekeeping.map(|it| Housekeeping::new(group.clone(), it, delays));
        let mut keeping_house = tokio::spawn(housekeep(housekeeping, drained.clone()));
        let mut keeper = tokio::spawn(leases.clone().keep(drained.clone()));
        tokio::spawn(gauge(limit, execution.metrics.clone(), drained.clone()));
        let due = delays.then(|| DueEntries::new(Delays::new(group.clone(), leases.clone()), due_time));
        let claimer = Claimer::new(group.clone(), leases);
        let read_loop =
            ReadLoop { consumer, claimer, due, execution: Arc::clone(&execution), reading, may_work, intake };
        tokio::select! {
            () = read_loop.run(&stop) => {}
            _ = &mut settler => return Err(PartEnded("settler")),
            _ = &mut keeper => return Err(PartEnded("lease keeper")),
            _ = &mut keeping_house => return Err(PartEnded("housekeeping")),
        }
        drain(&execution, grace).await;
        drop(execution);
        let ending = async {
            let _ = settler.await;
            drained.cancel();
            // A later sign of life would create the consumer again.
            let _ = keeper.await;
            leave(&group).await;
        };
        if tokio::time::timeout(HAND_BACK_TIME, ending).await.is_err() {
            tracing::warn!(
                "Redis did not confirm everything in time; other workers claim the remaining entries"
            );
        }
        Ok(())
    }
}

/// A part of the worker ended although it must not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {0} ended by itself")]
pub struct PartEnded(&'static str);

impl PartEnded {
    /// The part of this name has ended: for a program that runs several workers as one.
    pub fn new(part: &'static str) -> Self {
        Self(part)
    }
}

/// Trims the stream until `stop`, if there are settings for it.
async fn housekeep(housekeeping: Option<Housekeeping>, stop: CancellationToken) {
    match housekeeping {
        Some(housekeeping) => housekeeping.run(stop).await,
        None => stop.cancelled().await,
    }
}

/// Leaves the group, so that nobody counts this worker as alive.
async fn leave(group: &ConsumerGroup) {
    match group.leave().await {
        Ok(true) => tracing::debug!(worker = group.consumer(), "left the group"),
        Ok(false) => {
            tracing::info!(worker = group.consumer(), "other workers claim the entries it handed back")
        }
        Err(error) => tracing::warn!(
            %error,
            "could not leave the group; gateways count this worker as alive until the grace period ends"
        ),
    }
}

/// Waits until the held entries are finished. Those that are not finished in time are handed back.
async fn drain<J: Job>(execution: &Execution<J>, grace: Duration) {
    let held = execution.limit.taken();
    let patience = grace.saturating_sub(HAND_BACK_TIME * 2).max(grace / 2);
    let started = Instant::now();
    if tokio::time::timeout(patience, execution.limit.wait_until_idle()).await.is_err() {
        tracing::warn!(held = execution.limit.taken(), "time is up; handing back the unfinished requests");
        execution.abandon.cancel();
        let _ = tokio::time::timeout(HAND_BACK_TIME, execution.limit.wait_until_idle()).await;
    }
    tracing::info!(held, drained_ms = started.elapsed().as_millis() as u64, "worker drained");
}

/// Updates the gauges of the held entries.
async fn gauge(limit: ConcurrencyLimit, metrics: WorkerMetrics, stop: CancellationToken) {
    metrics.in_flight_limit.set(limit.limit() as f64);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => metrics.in_flight.set(limit.taken() as f64),
        }
    }
}
