use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::execution::{Execution, UsualWork};
use super::handler::Handler;
use super::lane;
use super::settings::ResponderSettings;
use super::settle::Settler;
use crate::connection::{Outage, Redis};
use crate::resilience::ConcurrencyLimit;
use crate::stream::{Claimer, Consumer, ConsumerGroup, Leases};
use crate::telemetry::Latch;
use crate::telemetry::metrics::ResponderMetrics;

/// A worker: takes requests from the stream, runs a [`Handler`] for each, settles them.
pub struct Responder<H> {
    redis: Redis,
    group: ConsumerGroup,
    settings: ResponderSettings,
    metrics: ResponderMetrics,
    handler: H,
}

/// Entries in one read, however many slots are free.
const LARGEST_READ: usize = 256;

/// A stopping worker is given this long to hand back what it could not finish.
const HAND_BACK_TIME: Duration = Duration::from_secs(1);

impl<H: Handler> Responder<H> {
    /// A worker that has not started.
    pub fn new(redis: Redis, settings: ResponderSettings, metrics: ResponderMetrics, handler: H) -> Self {
        let group = ConsumerGroup::new(redis.clone(), settings.group.clone(), metrics.clone());
        Self { redis, group, settings, metrics, handler }
    }

    /// The group it reads as a member of.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Works until `stop`, then finishes what it holds within `grace` and hands back the rest.
    /// `reading` is set while the stream is being read.
    pub async fn run(self, reading: Latch, stop: CancellationToken, grace: Duration) {
        let leases = Leases::new(self.group.clone());
        let limit = ConcurrencyLimit::new(self.settings.concurrency);
        let (settled, queue) = mpsc::unbounded_channel();
        let lane_ttl = lane::ttl(self.settings.request_timeout);
        let settler = tokio::spawn(Settler::new(self.group.clone(), leases.clone(), lane_ttl, queue).run());
        let drained = CancellationToken::new();
        let _keep = drained.clone().drop_guard();
        tokio::spawn(leases.clone().keep(drained.clone()));
        tokio::spawn(gauge(limit.clone(), self.metrics.clone(), drained.clone()));
        let execution = Arc::new(Execution {
            handler: self.handler,
            settings: self.settings,
            metrics: self.metrics,
            clock: Arc::clone(self.redis.clock()),
            limit: limit.clone(),
            settled,
            isolation: RwLock::new(()),
            abandon: CancellationToken::new(),
            usual_work: UsualWork::default(),
        });
        let claims = tokio::spawn(claim(
            Claimer::new(self.group.clone(), leases.clone()),
            Arc::clone(&execution),
            self.group.settings().claim_min_idle,
            stop.clone(),
        ));
        let consumer = Consumer::new(self.group.clone(), leases);
        read(consumer, &execution, reading, &stop).await;
        // Both have stopped taking new entries before anything is counted.
        let _ = claims.await;
        drain(&execution, grace).await;
        drop(execution);
        if tokio::time::timeout(HAND_BACK_TIME, settler).await.is_err() {
            tracing::warn!("Redis did not confirm everything in time; what is left is claimed by others");
        }
    }
}

/// Reads as many entries as there are free slots, and starts each.
async fn read<H: Handler>(
    mut consumer: Consumer,
    execution: &Arc<Execution<H>>,
    reading: Latch,
    stop: &CancellationToken,
) {
    let done = CancellationToken::new();
    let _done = done.clone().drop_guard();
    let waker = consumer.waker();
    let stopping = stop.clone();
    tokio::spawn(async move {
        stopping.cancelled().await;
        while !done.is_cancelled() {
            waker.wake().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    consumer.join(stop).await;
    while !stop.is_cancelled() {
        let free = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            free = execution.limit.wait_for_free() => free,
        };
        match consumer.read(free.min(LARGEST_READ)).await {
            Ok(deliveries) => {
                reading.set(true);
                for delivery in deliveries {
                    execution.start(delivery);
                }
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

/// Takes over what others let idle, twice per lease, as far as there are free slots.
async fn claim<H: Handler>(
    mut claimer: Claimer,
    execution: Arc<Execution<H>>,
    claim_min_idle: Duration,
    stop: CancellationToken,
) {
    let mut outage = Outage::new("claimer");
    loop {
        // Jittered, so that workers do not all ask at once.
        let pause = claim_min_idle.mul_f64(rand::random_range(0.35..0.5));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        while let free @ 1.. = execution.limit.free().min(LARGEST_READ) {
            match claimer.claim(free).await {
                Ok(deliveries) => {
                    outage.healed();
                    let came = deliveries.len();
                    for delivery in deliveries {
                        execution.start(delivery);
                    }
                    if came < free {
                        break;
                    }
                }
                Err(error) => {
                    outage.failed(&error);
                    break;
                }
            }
        }
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

/// Keeps the gauge of what is held.
async fn gauge(limit: ConcurrencyLimit, metrics: ResponderMetrics, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => metrics.in_flight.set(limit.taken() as f64),
        }
    }
}
