//! The side that replies: a [`Responder`] takes deliveries from the stream, runs a [`Handler`] for each and
//! settles it: first it stores the reply, then it acknowledges the entry.
//!
//! In reading order:
//!
//! 1. `handler`: the trait to implement; `settings`.
//! 2. `read_loop` takes entries from the stream.
//! 3. `dispatch` decides whether the work on an entry gets a task of its own.
//! 4. `execution` runs the handler; `outcome` is the result.
//! 5. `settler` stores replies and acknowledges; `reply_batch` packs replies into entries.
//! 6. `housekeeping` trims the stream; `metrics` counts.
//!
//! A worker is a handler:
//!
//! ```
//! use streamgate::worker::{Handler, Response, Work};
//!
//! struct Shout;
//!
//! impl Handler for Shout {
//!     async fn handle(&self, work: Work) -> Response {
//!         match std::str::from_utf8(&work.request.body) {
//!             Ok(text) => Response::json(format!("{:?}", text.to_uppercase())),
//!             Err(_) => Response::problem(work.request.id, 422, "the body is no text"),
//!         }
//!     }
//! }
//! ```

mod dispatch;
mod execution;
mod handler;
mod housekeeping;
mod metrics;
mod outcome;
mod read_loop;
mod reply_batch;
mod settings;
mod settler;

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{RwLock, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::execution::Execution;
use self::housekeeping::Housekeeping;
use self::settler::Settler;
use crate::connection::Redis;
use crate::resilience::{ConcurrencyLimit, UsualTime};
use crate::stream::{Claimer, Consumer, ConsumerGroup, Leases, StreamKey};
use crate::telemetry::{Latch, Readiness};

pub use handler::{Handler, Response, Work};
pub use housekeeping::HousekeepingSettings;
pub use metrics::ResponderMetrics;
pub use settings::ResponderSettings;

/// A worker: takes requests from the stream, runs a [`Handler`] for each and settles it.
pub struct Responder<H> {
    redis: Redis,
    group: ConsumerGroup,
    settings: ResponderSettings,
    metrics: ResponderMetrics,
    handler: H,
    reading: Latch,
    permitted: Latch,
}

/// Time for a stopping worker to hand back the requests that it could not finish.
const HAND_BACK_TIME: Duration = Duration::from_secs(1);

impl<H: Handler> Responder<H> {
    /// A worker that has not started. It adds two parts to `readiness`: `reader` is ready while the worker can read
    /// the stream, and `permissions` while Redis permits every command that the worker needs. If a command is denied,
    /// the worker takes no entries, because it could not finish them.
    pub fn new(
        redis: Redis,
        settings: ResponderSettings,
        metrics: ResponderMetrics,
        readiness: &Readiness,
        handler: H,
    ) -> Self {
        let group = ConsumerGroup::new(redis.clone(), settings.group.clone(), metrics.group.clone());
        let (reading, permitted) = (readiness.latch("reader"), readiness.latch("permissions"));
        Self { redis, group, settings, metrics, handler, reading, permitted }
    }

    /// The consumer group that the worker belongs to.
    pub fn group(&self) -> &ConsumerGroup {
        &self.group
    }

    /// Works until `stop`. Then it finishes the requests it holds within `grace`, hands back the others and leaves
    /// the group. If another worker with its name is alive, this worker takes a different name.
    ///
    /// # Errors
    /// A part of the worker ended before `stop`, which is a defect. Other workers claim the entries it held.
    pub async fn run(self, stop: CancellationToken, grace: Duration) -> Result<(), PartEnded> {
        let Self { reading, permitted, .. } = self;
        let may_work = permitted.view();
        let drained = CancellationToken::new();
        let _drained = drained.clone().drop_guard();
        tokio::spawn(self.settings.rehearsal().keep(self.redis.clone(), permitted, drained.clone()));
        let leases = Leases::new(self.group.clone());
        let mut consumer = Consumer::new(self.group.clone(), leases.clone());
        consumer.join(&stop).await;
        let mut settings = self.settings;
        if self.group.consumer() != settings.group.consumer {
            settings.worker = self.group.consumer().into();
        }
        let limit = ConcurrencyLimit::new(settings.concurrency);
        let (settled, queue) = mpsc::unbounded_channel();
        let lane_ttl = StreamKey::lane_ttl(settings.request_timeout);
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

        let settler =
            Settler::new(self.group.clone(), execution.metrics.clone(), leases.clone(), lane_ttl, queue);
        let mut settler = tokio::spawn(settler.run());
        let keeping_house = housekeep(self.redis, self.group.clone(), housekeeping, drained.clone());
        let mut keeping_house = tokio::spawn(keeping_house);
        let mut keeper = tokio::spawn(leases.clone().keep(drained.clone()));
        tokio::spawn(gauge(limit, execution.metrics.clone(), drained.clone()));
        let claimer = Claimer::new(self.group.clone(), leases);
        tokio::select! {
            () = read_loop::take(consumer, claimer, &execution, reading, may_work, &stop) => {}
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
            leave(&self.group).await;
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

/// Trims the stream until `stop`, if there are settings for it.
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

/// Leaves the group, so that gateways no longer count this worker as alive.
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

/// Waits until the held requests are finished. Those that are not finished in time are handed back.
async fn drain<H: Handler>(execution: &Execution<H>, grace: Duration) {
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

/// Updates the gauges of the held requests.
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
