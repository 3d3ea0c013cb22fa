//! The side that asks: a [`Requester`] sends requests and waits for their replies.
//!
//! One requester serves any number of request streams with one writer, one reply lane and one map of waiting callers.
//! What depends on the workers of a stream is in its [`Destination`].
//!
//! In reading order:
//!
//! 1. `call`: a request and its answer; `error`: why there is no answer; `settings`.
//! 2. `destination/`: a request stream, its workers, and whether a request may be sent.
//! 3. `pending`: the waiting callers, [`PendingReplies`]; `last_ids`: what is known of those that have gone.
//! 4. `outbound_request`: a request on its way to the stream.
//! 5. `reply_reader` reads the reply lane and gives each reply to its caller.
//! 6. `lane_upkeep` trims the reply lane; `lane_conflict` detects a second gateway that uses it.
//! 7. `sweep` completes callers whose deadline has passed; `busy_poll` saves wake-ups; `metrics` counts.

mod busy_poll;
mod call;
mod destination;
mod error;
mod lane_conflict;
mod lane_upkeep;
mod last_ids;
mod metrics;
mod outbound_request;
mod pending;
mod reply_reader;
mod settings;
mod sweep;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::busy_poll::BusyPoll;
use self::destination::{Admission, RETRY_AFTER, WorkerPresence, retry_after};
use self::lane_conflict::LaneConflict;
use self::lane_upkeep::Finished;
use self::outbound_request::OutboundRequest;
use self::reply_reader::ReplyReader;
use self::settings::LongestTimeout;
use self::sweep::Sweep;
use crate::clock::Clock;
use crate::connection::{BatchWriter, Redis};
use crate::envelope::{Deadline, Request};
use crate::stream::{InvalidStreamKey, TailReader};
use crate::telemetry::{LatchView, Readiness, Span, SpanKind};

pub use call::{Answer, Call, Timing};
pub use destination::Destination;
pub use error::{RequestError, RequestErrorKind};
pub use metrics::{DestinationMetrics, Refusals, RequesterMetrics};
pub use pending::{Arrival, Completion, PendingGuard, PendingReplies, Received};
pub use settings::{DestinationSettings, RequesterSettings, WorkerGroup};

/// Sends requests and waits for their replies. Clones share everything.
#[derive(Clone)]
pub struct Requester(Arc<Inner>);

struct Inner {
    redis: Redis,
    settings: RequesterSettings,
    longest_timeout: LongestTimeout,
    lane: Arc<str>,
    /// In the line of no stream.
    pending: PendingReplies,
    writer: BatchWriter<OutboundRequest>,
    destinations: Destinations,
    /// How many destinations are watched.
    watched: Arc<AtomicUsize>,
    listens: LatchView,
    lane_permitted: LatchView,
    busy_poll: BusyPoll,
    stop: CancellationToken,
    /// Cancelled when a part of the requester ends.
    ended: CancellationToken,
}

/// The destinations that are in use, or were removed while callers wait.
type Destinations = Arc<Mutex<Vec<Destination>>>;

/// The longest time that a read of the reply lane blocks; after an empty read the node and the stream are checked.
const LISTENER_BLOCK: Duration = Duration::from_secs(2);

/// How long the writer tries to store a request while Redis does not answer, within its deadline. The circuit
/// breaker usually opens earlier.
const SUBMISSION_PATIENCE: Duration = Duration::from_secs(2);

impl Requester {
    /// Starts the writer, the reply listener, the lane's upkeep and the deadline sweeper; they end
    /// when `stop` is cancelled. [`Requester::destination`] adds the streams.
    ///
    /// It adds two parts to `readiness`: `replies` is ready while the reply lane can be read, and `permissions` while
    /// Redis permits every command that the reply lane needs, and every command that at least one stream needs. While
    /// the lane lacks one of them, all requests are refused; while a stream lacks its permission, its own.
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
        let lane_permission = Readiness::default().latch("lane");
        let (listens, lane_permitted) = (listening.view(), lane_permission.view());
        let lane = match &settings.replica {
            Some(replica) => settings.reply_stream.lane(replica)?,
            None => settings.reply_stream.clone(),
        };
        let longest_timeout = LongestTimeout::new(settings.longest_timeout);
        let (pending, destinations) = (PendingReplies::default(), Destinations::default());
        let watched = Arc::new(AtomicUsize::new(0));
        let ended = CancellationToken::new();
        let (finished, seen) = watch::channel(Finished::default());
        let listener = ReplyReader {
            tail: TailReader::new(redis.clone(), lane.clone(), LISTENER_BLOCK, "reply listener"),
            pending: pending.clone(),
            metrics,
            clock: Arc::clone(redis.clock()),
            own_lane: settings.replica.is_some(),
            finished,
            listening,
            conflict: LaneConflict::new(settings.longest_timeout),
        };
        vital(&ended, listener.run(stop.clone()));
        let rehearsal = settings.rehearsal(&lane);
        vital(&ended, rehearsal.keep(redis.clone(), lane_permission, stop.clone()));
        let keeping =
            lane_upkeep::keep(redis.clone(), lane.clone(), longest_timeout.clone(), seen, stop.clone());
        vital(&ended, keeping);
        let sweep = Sweep {
            pending: pending.clone(),
            destinations: Arc::clone(&destinations),
            watched: Arc::clone(&watched),
            lane_permitted: lane_permitted.clone(),
            permitted,
        };
        vital(&ended, sweep.run(stop.clone()));
        let busy_poll = BusyPoll::new(settings.busy_poll);
        vital(&ended, until(stop.clone(), busy_poll.clone().run()));
        let callers = pending.clone();
        let writer = BatchWriter::spawn(redis.clone(), "request writer", settings.max_in_flight, move || {
            callers.total()
        });
        let lane = lane.as_str().into();
        let inner = Inner {
            redis,
            settings,
            longest_timeout,
            lane,
            pending,
            writer,
            destinations,
            watched,
            listens,
            lane_permitted,
            busy_poll,
            stop,
            ended,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The destination with these settings. A new one starts to watch its workers and its permissions. If the
    /// requester has one with these settings already, it is that one, and `metrics` are not used.
    pub fn destination(&self, settings: DestinationSettings, metrics: DestinationMetrics) -> Destination {
        let inner = &*self.0;
        let mut destinations = inner.destinations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = destinations.iter().find(|known| known.0.settings == settings) {
            known.set_removed(false);
            return known.clone();
        }
        let permission = Readiness::default().latch("stream");
        let admission = Admission {
            redis: inner.redis.clone(),
            pending: inner.pending.other_line(),
            max_in_flight: inner.settings.max_in_flight,
            workers: settings.workers.clone().map(WorkerPresence::new),
            listens: inner.listens.clone(),
            lane_permitted: inner.lane_permitted.clone(),
            permitted: permission.view(),
            refusals: metrics.refusals.clone(),
        };
        let (closed, watches) = (inner.stop.child_token(), settings.workers.is_some());
        let destination = Destination::new(settings, admission, metrics, closed.clone());
        let vital = |part| vital_unless(&closed, &inner.ended, part);
        let parts = destination.clone();
        vital(Box::pin(parts.clone().rehearse(permission)));
        vital(Box::pin(parts.clone().watch_workers(Arc::clone(&inner.watched))));
        if watches {
            vital(Box::pin(parts.watch_trimming()));
        }
        destinations.push(destination.clone());
        inner.watched.store(destinations.len(), Ordering::Relaxed);
        destination
    }

    /// Gives a destination up: once none of its callers waits, it is watched no longer. Requests to it should have
    /// ended; they are still sent.
    pub fn remove(&self, destination: &Destination) {
        destination.set_removed(true);
    }

    /// Lets calls have timeouts up to `timeout`, if that is longer than what they may have now.
    pub fn allow_timeout(&self, timeout: Duration) {
        self.0.longest_timeout.raise(timeout);
    }

    /// Sends one request and waits for its reply, at most `call.timeout`.
    ///
    /// # Errors
    /// See [`RequestErrorKind`].
    pub async fn request(&self, call: Call) -> Result<Answer, RequestError> {
        let inner = &*self.0;
        let started = Instant::now();
        let timeout = call.timeout.min(inner.longest_timeout.get());
        let to = &*call.to.0;
        self.admit(&to.admission, started, timeout)?;
        let span = self.span_of(&call);
        let trace = span.context().or(call.trace);
        let waiting = to.admission.pending.register(call.id, started + timeout);
        let submission = OutboundRequest {
            stream: to.settings.stream.clone(),
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
            return Err(to.admission.refuse(RequestErrorKind::Overloaded, RETRY_AFTER));
        }
        inner.busy_poll.sent(started, inner.pending.total());
        match waiting.wait().await {
            Ok(received) => {
                let timing = self.timing(to, started, received.stored_ms, received.reply.work);
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

    /// The number of waiting callers, over all streams.
    pub fn pending(&self) -> usize {
        self.0.pending.total()
    }

    /// Refuses a request that cannot succeed, before it costs anything.
    fn admit(&self, admission: &Admission, now: Instant, timeout: Duration) -> Result<(), RequestError> {
        if self.0.stop.is_cancelled() {
            return Err(admission.refuse(RequestErrorKind::Draining, RETRY_AFTER));
        }
        admission.check(now, timeout)
    }

    /// The span from admission until the request is stored. The worker's span will be below it.
    fn span_of(&self, call: &Call) -> Span {
        let stream = call.to.stream().as_str();
        let tracer = &self.0.settings.tracer;
        let mut span = tracer.start(SpanKind::Producer, call.trace, || format!("send {stream}"));
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

    fn timing(&self, to: &destination::Inner, started: Instant, stored_ms: u64, work: Duration) -> Timing {
        let now = Instant::now();
        let total = now.saturating_duration_since(started);
        self.0.busy_poll.answered(now, total, self.0.pending.total());
        let since_stored = self.0.redis.clock().now_ms().saturating_sub(stored_ms);
        let reply = Duration::from_millis(since_stored).min(total.saturating_sub(work));
        let queue = total.saturating_sub(work).saturating_sub(reply);
        let metrics = &to.metrics;
        metrics.duration.record(total.as_secs_f64());
        metrics.queue.record(queue.as_secs_f64());
        metrics.work.record(work.as_secs_f64());
        metrics.reply.record(reply.as_secs_f64());
        if !work.is_zero() {
            to.admission.pending.line().estimate.learn(queue, work);
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

/// As [`vital`], for a part that may end once `closed` is cancelled.
fn vital_unless(
    closed: &CancellationToken,
    ended: &CancellationToken,
    part: Pin<Box<dyn Future<Output = ()> + Send>>,
) {
    let (guard, closed) = (ended.clone().drop_guard(), closed.clone());
    tokio::spawn(async move {
        part.await;
        if closed.is_cancelled() {
            guard.disarm();
        }
    });
}

/// Runs a part until `stop`.
async fn until(stop: CancellationToken, part: impl Future<Output = ()>) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = part => {}
    }
}
