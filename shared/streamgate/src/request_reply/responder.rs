use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::execution::Execution;
use super::handler::Handler;
use super::housekeeping::{Housekeeping, HousekeepingSettings};
use super::lane;
use super::rehearsals;
use super::settings::ResponderSettings;
use super::settle::Settler;
use crate::connection::{Error, Outage, Redis, Waker};
use crate::resilience::{ConcurrencyLimit, UsualTime};
use crate::stream::{Claimer, Consumer, ConsumerGroup, Leases};
use crate::telemetry::metrics::ResponderMetrics;
use crate::telemetry::{Latch, LatchView, Readiness};

/// A worker: takes requests from the stream, runs a [`Handler`] for each, settles them.
pub struct Responder<H> {
    redis: Redis,
    group: ConsumerGroup,
    settings: ResponderSettings,
    metrics: ResponderMetrics,
    handler: H,
    reading: Latch,
    permitted: Latch,
}

/// Entries in one read, however many slots are free.
const LARGEST_READ: usize = 256;

/// How often a worker that holds a suspect looks whether it is settled; and the longest a read blocks
/// while further ones wait.
const SUSPECT_PAUSE: Duration = Duration::from_millis(20);

/// How often a worker that may not work looks whether it may.
const PERMISSION_PAUSE: Duration = Duration::from_millis(10);

/// A stopping worker is given this long to hand back what it could not finish.
const HAND_BACK_TIME: Duration = Duration::from_secs(1);

impl<H: Handler> Responder<H> {
    /// A worker that has not started. Its parts in `readiness` are `reader`, while the stream is being read,
    /// and `permissions`, while Redis lets it do what it needs. While it may not, it takes nothing: it could
    /// not end what it begins.
    pub fn new(
        redis: Redis,
        settings: ResponderSettings,
        metrics: ResponderMetrics,
        readiness: &Readiness,
        handler: H,
    ) -> Self {
        let group = ConsumerGroup::new(redis.clone(), settings.group.clone(), metrics.clone());
        let (reading, permitted) = (readiness.latch("reader"), readiness.latch("permissions"));
        Self { redis, group, settings, metrics, handler, reading, permitted }
    }

    /// The group it reads as a member of.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Works until `stop`, then finishes what it holds within `grace`, hands back the rest and leaves the
    /// group. If a worker of its name is alive, it works under a name of its own.
    ///
    /// # Errors
    /// A part of the worker ended although nobody asked it to: a defect. What it held is claimed by
    /// others.
    pub async fn run(self, stop: CancellationToken, grace: Duration) -> Result<(), PartEnded> {
        let Self { reading, permitted, .. } = self;
        let may_work = permitted.view();
        let drained = CancellationToken::new();
        let _drained = drained.clone().drop_guard();
        tokio::spawn(rehearsals::of_worker(&self.settings).keep(
            self.redis.clone(),
            permitted,
            drained.clone(),
        ));
        let leases = Leases::new(self.group.clone());
        let mut consumer = Consumer::new(self.group.clone(), leases.clone());
        consumer.join(&stop).await;
        let mut settings = self.settings;
        if self.group.consumer() != settings.group.consumer {
            settings.worker = self.group.consumer().into();
        }
        let limit = ConcurrencyLimit::new(settings.concurrency);
        let (settled, queue) = mpsc::unbounded_channel();
        let lane_ttl = lane::ttl(settings.request_timeout);
        let housekeeping = settings.housekeeping;
        let execution = Arc::new(Execution {
            handler: self.handler,
            settings,
            metrics: self.metrics,
            clock: Arc::clone(self.redis.clock()),
            limit: limit.clone(),
            settled,
            isolation: Arc::new(RwLock::new(())),
            abandon: CancellationToken::new(),
            usual_work: UsualTime::default(),
            one_thread: Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread,
        });
        tokio::select! {
            () = stop.cancelled() => {}
            () = execution.clock.known() => {}
        }

        let settler = Settler::new(self.group.clone(), leases.clone(), lane_ttl, queue);
        let mut settler = tokio::spawn(settler.run());
        let keeping_house = housekeep(self.redis, self.group.clone(), housekeeping, drained.clone());
        let mut keeping_house = tokio::spawn(keeping_house);
        let mut keeper = tokio::spawn(leases.clone().keep(drained.clone()));
        tokio::spawn(gauge(limit, execution.metrics.clone(), drained.clone()));
        let claimer = Claimer::new(self.group.clone(), leases);
        tokio::select! {
            () = take(consumer, claimer, &execution, reading, may_work, &stop) => {}
            _ = &mut settler => return Err(PartEnded("settler")),
            _ = &mut keeper => return Err(PartEnded("keeper of leases")),
            _ = &mut keeping_house => return Err(PartEnded("housekeeping")),
        }
        drain(&execution, grace).await;
        drop(execution);
        let ending = async {
            let _ = settler.await;
            drained.cancel();
            // A sign of life after the end would bring the consumer back.
            let _ = keeper.await;
            leave(&self.group).await;
        };
        if tokio::time::timeout(HAND_BACK_TIME, ending).await.is_err() {
            tracing::warn!("Redis did not confirm everything in time; what is left is claimed by others");
        }
        Ok(())
    }
}

/// A part that must not end did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {0} ended by itself")]
pub struct PartEnded(pub(super) &'static str);

/// Keeps the stream short until `stop`, if that is wanted.
async fn housekeep(
    redis: Redis,
    group: ConsumerGroup,
    settings: Option<HousekeepingSettings>,
    stop: CancellationToken,
) {
    match settings {
        Some(settings) => Housekeeping::new(redis, group, settings).run(stop).await,
        None => stop.cancelled().await,
    }
}

/// Leaves the group, so that nobody counts on this worker.
async fn leave(group: &ConsumerGroup) {
    match group.leave().await {
        Ok(true) => tracing::debug!(worker = group.consumer(), "left the group"),
        Ok(false) => tracing::info!(worker = group.consumer(), "what it handed back is claimed by others"),
        Err(error) => tracing::warn!(%error, "the group was not left; it is until the grace period is over"),
    }
}

/// Takes entries until `stop`, as many as there are free slots: twice per lease what others let
/// idle, else what is new. One loop does both, so that they never fill the same slot.
async fn take<H: Handler>(
    mut consumer: Consumer,
    mut claimer: Claimer,
    execution: &Arc<Execution<H>>,
    reading: Latch,
    may_work: LatchView,
    stop: &CancellationToken,
) {
    let _awake = wake_on(stop, consumer.waker());
    let mut claims = Claims::new(execution.settings.group.claim_min_idle);
    while !stop.is_cancelled() {
        if !may_work.is_set() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERMISSION_PAUSE) => continue,
            }
        }
        if claimer.holds_suspect() {
            // It runs alone; what would be taken meanwhile would wait here instead of elsewhere.
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(SUSPECT_PAUSE) => continue,
            }
        }
        let free = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            free = execution.limit.wait_for_free() => free.min(LARGEST_READ),
        };
        if (claims.are_due() || claimer.can_take_suspect()) && !consumer.is_starting() {
            match claimer.claim(free).await {
                Ok(deliveries) => {
                    reading.set(true);
                    claims.made(claimer.has_seen_all());
                    execution.start_all(deliveries).await;
                }
                Err(error) => {
                    claims.failed(&error);
                    // Its answer may have been lost, and then what it claimed is ours already.
                    consumer.recover();
                }
            }
        }
        let free = execution.limit.free().min(LARGEST_READ);
        if free == 0 {
            continue;
        }
        let patience = match claimer.has_left_suspects() {
            true => claims.until_next().min(SUSPECT_PAUSE),
            false => claims.until_next(),
        };
        match consumer.read(free, patience).await {
            Ok(deliveries) => {
                reading.set(true);
                execution.start_all(deliveries).await;
            }
            Err(error) => {
                reading.set(false);
                let pause = consumer.failed(&error);
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
    }
}

/// Ends a blocked read once `stop` is cancelled, again and again until the reader is gone: it may be
/// just about to block.
fn wake_on(stop: &CancellationToken, waker: Waker) -> DropGuard {
    let (stop, reader_gone) = (stop.clone(), CancellationToken::new());
    let guard = reader_gone.clone().drop_guard();
    tokio::spawn(async move {
        tokio::select! {
            () = reader_gone.cancelled() => return,
            () = stop.cancelled() => {}
        }
        while !reader_gone.is_cancelled() && waker.wake().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    guard
}

/// When to look for entries that others let idle.
struct Claims {
    claim_min_idle: Duration,
    due: Instant,
    outage: Outage,
}

impl Claims {
    fn new(claim_min_idle: Duration) -> Self {
        Self { claim_min_idle, due: Instant::now(), outage: Outage::new("claimer") }
    }

    fn are_due(&self) -> bool {
        self.due <= Instant::now()
    }

    /// While pending entries are left to look at, the next look is due at once.
    fn until_next(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    fn made(&mut self, seen_all: bool) {
        self.outage.healed();
        if seen_all {
            self.pause();
        }
    }

    fn failed(&mut self, error: &Error) {
        self.outage.failed(error);
        self.pause();
    }

    /// Twice per lease, jittered, so that workers do not all look at once.
    fn pause(&mut self) {
        self.due = Instant::now() + self.claim_min_idle.mul_f64(rand::random_range(0.35..0.5));
    }
}

/// Waits for what is held; what is not done when the time is up is handed back.
async fn drain<H: Handler>(execution: &Execution<H>, grace: Duration) {
    let held = execution.limit.taken();
    let patience = grace.saturating_sub(HAND_BACK_TIME * 2).max(grace / 2);
    let started = Instant::now();
    if tokio::time::timeout(patience, execution.limit.wait_until_idle()).await.is_err() {
        tracing::warn!(held = execution.limit.taken(), "time is up; handing back what is not done");
        execution.abandon.cancel();
        let _ = tokio::time::timeout(HAND_BACK_TIME, execution.limit.wait_until_idle()).await;
    }
    tracing::info!(held, drained_ms = started.elapsed().as_millis() as u64, "worker drained");
}

/// Keeps the gauges of what is held.
async fn gauge(limit: ConcurrencyLimit, metrics: ResponderMetrics, stop: CancellationToken) {
    metrics.in_flight_limit.set(limit.limit() as f64);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => metrics.in_flight.set(limit.taken() as f64),
        }
    }
}
