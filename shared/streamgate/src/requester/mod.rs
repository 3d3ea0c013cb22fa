//! The side that asks: a [`Requester`] sends requests and waits for their replies.
//!
//! In reading order:
//!
//! 1. `call`: a request and its answer; `error`: why there is no answer; `settings`.
//! 2. `admission` decides whether a request may be sent.
//! 3. `pending`: the waiting callers, [`PendingReplies`].
//! 4. `outbound_request`: a request on its way to the stream.
//! 5. `reply_reader` reads the reply lane and gives each reply to its caller.
//! 6. `lane_upkeep` trims the reply lane; `lane_conflict` detects a second gateway that uses it.
//! 7. `worker_presence` watches the workers; if none is alive, `take_back` removes requests from the stream.
//! 8. `untrimmed` watches the request stream; `busy_poll` saves wake-ups; `metrics` counts.

mod admission;
mod busy_poll;
mod call;
mod error;
mod lane_conflict;
mod lane_upkeep;
mod metrics;
mod outbound_request;
mod pending;
mod reply_reader;
mod settings;
mod take_back;
mod untrimmed;
mod worker_presence;

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::admission::{Admission, RETRY_AFTER, retry_after};
use self::busy_poll::BusyPoll;
use self::lane_conflict::LaneConflict;
use self::lane_upkeep::Finished;
use self::outbound_request::OutboundRequest;
use self::pending::DEADLINE_STEP;
use self::reply_reader::ReplyReader;
use self::worker_presence::WorkerPresence;
use crate::clock::Clock;
use crate::connection::{BatchWriter, Redis};
use crate::envelope::{Deadline, Request};
use crate::resilience::WaitEstimate;
use crate::stream::{InvalidStreamKey, StreamKey, TailReader};
use crate::telemetry::{Readiness, Span, SpanKind};

pub use call::{Answer, Call, Timing};
pub use error::{RequestError, RequestErrorKind};
pub use metrics::{Refusals, RequesterMetrics};
pub use pending::{Arrival, Completion, PendingGuard, PendingReplies, Received};
pub use settings::{RequesterSettings, WorkerGroup};

/// Sends requests and waits for their replies. Clones share everything.
#[derive(Clone)]
pub struct Requester(Arc<Inner>);

struct Inner {
    redis: Redis,
    settings: RequesterSettings,
    lane: Arc<str>,
    pending: PendingReplies,
    writer: BatchWriter<OutboundRequest>,
    metrics: RequesterMetrics,
    admission: Arc<Admission>,
    busy_poll: BusyPoll,
    stop: CancellationToken,
    /// Cancelled when a part of the requester ends.
    ended: CancellationToken,
}

/// The longest time that a read of the reply lane blocks; after an empty read the node and the stream are checked.
const LISTENER_BLOCK: Duration = Duration::from_secs(2);

/// How long the writer tries to store a request while Redis does not answer, within its deadline. The circuit
/// breaker usually opens earlier.
const SUBMISSION_PATIENCE: Duration = Duration::from_secs(2);

impl Requester {
    /// Starts the writer, the reply listener, the lane's upkeep and the deadline sweeper; they end
    /// when `stop` is cancelled.
    ///
    /// It adds two parts to `readiness`: `replies` is ready while the reply lane can be read, and `permissions` while
    /// Redis permits every command that the requester needs. While one of them is not ready, requests are refused.
    ///
    /// # Errors
    /// The names of the reply stream and the replica do not form a valid stream name.
    pub fn start(
        redis: Redis,
        settings: RequesterSettings,
        metrics: RequesterMetrics,
        readiness: &Readiness,
        stop: CancellationToken,
    ) -> Result<Self, InvalidStreamKey> {
        let (listening, permitted) = (readiness.latch("replies"), readiness.latch("permissions"));
        let lane = match &settings.replica {
            Some(replica) => settings.reply_stream.lane(replica)?,
            None => settings.reply_stream.clone(),
        };
        let pending = PendingReplies::default();
        let ended = CancellationToken::new();
        let admission = Arc::new(Admission {
            redis: redis.clone(),
            pending: pending.clone(),
            max_in_flight: settings.max_in_flight,
            workers: settings.workers.clone().map(WorkerPresence::new),
            estimate: WaitEstimate::default(),
            listens: listening.view(),
            permitted: permitted.view(),
            refusals: metrics.refusals.clone(),
        });
        let (finished, seen) = watch::channel(Finished::default());
        let listener = ReplyReader {
            tail: TailReader::new(redis.clone(), lane.clone(), LISTENER_BLOCK, "reply listener"),
            pending: pending.clone(),
            metrics: metrics.clone(),
            clock: Arc::clone(redis.clock()),
            own_lane: settings.replica.is_some(),
            finished,
            listening,
            admission: Arc::clone(&admission),
            conflict: LaneConflict::new(settings.longest_timeout),
        };
        vital(&ended, listener.run(stop.clone()));
        let rehearsal = settings.rehearsal(&lane);
        vital(&ended, rehearsal.keep(redis.clone(), permitted, stop.clone()));
        let keeping =
            lane_upkeep::keep(redis.clone(), lane.clone(), settings.longest_timeout, seen, stop.clone());
        vital(&ended, keeping);
        vital(&ended, sweep(Arc::clone(&admission), metrics.clone(), stop.clone()));
        let watching = watch_workers(
            Arc::clone(&admission),
            settings.request_stream.clone(),
            metrics.clone(),
            stop.clone(),
        );
        vital(&ended, watching);
        if settings.workers.is_some() {
            let (requests, gauge) = (settings.request_stream.clone(), metrics.untrimmed.clone());
            vital(&ended, until(stop.clone(), untrimmed::watch(redis.clone(), requests, gauge)));
        }
        let busy_poll = BusyPoll::new(settings.busy_poll);
        vital(&ended, until(stop.clone(), busy_poll.clone().run()));
        let callers = pending.clone();
        let writer = BatchWriter::spawn(redis.clone(), "request writer", settings.max_in_flight, move || {
            callers.len()
        });
        let lane = lane.as_str().into();
        let inner =
            Inner { redis, settings, lane, pending, writer, metrics, admission, busy_poll, stop, ended };
        Ok(Self(Arc::new(inner)))
    }

    /// Sends one request and waits for its reply, at most `call.timeout`.
    ///
    /// # Errors
    /// See [`RequestErrorKind`].
    pub async fn request(&self, call: Call) -> Result<Answer, RequestError> {
        let inner = &*self.0;
        let started = Instant::now();
        let timeout = call.timeout.min(inner.settings.longest_timeout);
        self.admit(started, timeout)?;
        let span = self.span_of(&call);
        let trace = span.context().or(call.trace);
        let waiting = inner.pending.register(call.id, started + timeout);
        let submission = OutboundRequest {
            stream: inner.settings.request_stream.clone(),
            give_up_at: started + timeout.min(SUBMISSION_PATIENCE),
            pending: inner.pending.clone(),
            uncertain: false,
            span,
            request: Request {
                id: call.id,
                reply_to: Arc::clone(&inner.lane),
                deadline: Deadline::after(timeout, &**inner.redis.clock()),
                trace,
                content_type: call.content_type,
                body: call.body,
                http: call.http,
            },
        };
        if inner.writer.try_send(submission).is_err() {
            return Err(inner.admission.refuse(RequestErrorKind::Overloaded, RETRY_AFTER));
        }
        inner.busy_poll.sent(started, inner.pending.len());
        match waiting.wait().await {
            Ok(received) => {
                let timing = self.timing(started, received.stored_ms, received.reply.work);
                Ok(Answer { reply: received.reply, timing })
            }
            Err(kind) => {
                inner.busy_poll.failed();
                Err(RequestError { kind, retry_after: retry_after(kind) })
            }
        }
    }

    /// Returns once a part of the requester has ended: after `stop`, or because of a defect. In both cases no caller
    /// gets an answer any more.
    pub async fn ended(&self) {
        self.0.ended.cancelled().await;
    }

    /// The number of waiting callers.
    pub fn pending(&self) -> usize {
        self.0.pending.len()
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

    /// Refuses a request that cannot succeed, before it costs anything.
    fn admit(&self, now: Instant, timeout: Duration) -> Result<(), RequestError> {
        let inner = &*self.0;
        if inner.stop.is_cancelled() {
            return Err(inner.admission.refuse(RequestErrorKind::Draining, RETRY_AFTER));
        }
        inner.admission.check(now, timeout)
    }

    /// The span from admission until the request is stored. The worker's span will be below it.
    fn span_of(&self, call: &Call) -> Span {
        let Inner { settings, .. } = &*self.0;
        let stream = settings.request_stream.as_str();
        let mut span = settings.tracer.start(SpanKind::Producer, call.trace, || format!("send {stream}"));
        span.record(|| {
            [
                KeyValue::new("messaging.system", "redis"),
                KeyValue::new("messaging.operation.type", "send"),
                KeyValue::new("messaging.operation.name", "XADD"),
                KeyValue::new("messaging.destination.name", stream.to_owned()),
                KeyValue::new("messaging.message.conversation_id", call.id.to_string()),
            ]
        });
        span
    }

    fn timing(&self, started: Instant, stored_ms: u64, work: Duration) -> Timing {
        let now = Instant::now();
        let total = now.saturating_duration_since(started);
        self.0.busy_poll.answered(now, total, self.0.pending.len());
        let since_stored = self.0.redis.clock().now_ms().saturating_sub(stored_ms);
        let reply = Duration::from_millis(since_stored).min(total.saturating_sub(work));
        let queue = total.saturating_sub(work).saturating_sub(reply);
        let metrics = &self.0.metrics;
        metrics.duration.record(total.as_secs_f64());
        metrics.queue.record(queue.as_secs_f64());
        metrics.work.record(work.as_secs_f64());
        metrics.reply.record(reply.as_secs_f64());
        if !work.is_zero() {
            self.0.admission.estimate.learn(queue, work);
        }
        Timing { queue, work, reply }
    }
}

/// Spawns a part that must not end before `stop`; `ended` is cancelled when it ends.
fn vital(ended: &CancellationToken, part: impl Future<Output = ()> + Send + 'static) {
    let guard = ended.clone().drop_guard();
    tokio::spawn(async move {
        let _guard = guard;
        part.await;
    });
}

/// Runs a part until `stop`.
async fn until(stop: CancellationToken, part: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = part => {}
    }
}

/// Watches the workers, if the settings name their group.
async fn watch_workers(
    admission: Arc<Admission>,
    requests: StreamKey,
    metrics: RequesterMetrics,
    stop: CancellationToken,
) {
    match &admission.workers {
        Some(workers) => {
            let Admission { redis, pending, .. } = &*admission;
            until(stop, workers.watch(redis, pending, &requests, &metrics)).await;
        }
        None => stop.cancelled().await,
    }
}

/// Completes callers whose deadline has passed, and updates the gauges and the wait estimate.
async fn sweep(admission: Arc<Admission>, metrics: RequesterMetrics, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(DEADLINE_STEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let Admission { pending, estimate, .. } = &*admission;
    let mut last = Instant::now();
    loop {
        let now = tokio::select! {
            () = stop.cancelled() => return,
            now = ticks.tick() => now,
        };
        metrics.timeouts.increment(pending.expire(now) as u64);
        let waiting = pending.len();
        estimate.tick(waiting, now.saturating_duration_since(last));
        last = now;
        metrics.pending.set(waiting as f64);
        metrics.estimated_wait.set(estimate.wait(waiting).unwrap_or_default().as_secs_f64());
    }
}
