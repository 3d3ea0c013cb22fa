use metrics::{Counter, Gauge, Histogram};

use super::settings::RequesterSettings;
use crate::telemetry::Declare;

/// The requesting side: waiting callers and the replies they get.
#[derive(Clone)]
pub struct RequesterMetrics {
    /// Callers that wait for a reply.
    pub pending: Gauge,
    /// From admission to the reply, by the caller's watch.
    pub duration: Histogram,
    /// From admission to the start of the work.
    pub queue: Histogram,
    /// In the worker's handler.
    pub work: Histogram,
    /// From the stored reply to the caller.
    pub reply: Histogram,
    /// Deadlines that passed while a caller waited.
    pub timeouts: Counter,
    /// Replies that came after their caller had gone.
    pub late: Counter,
    /// Replies to somebody else, on a shared lane.
    pub foreign: Counter,
    /// What stands on the lane and is no reply.
    pub undecodable: Counter,
    /// Requests turned away before anything was sent.
    pub refusals: Refusals,
    /// How long a newcomer would wait before the work starts; 0 while nothing says that there is a
    /// queue.
    pub estimated_wait: Gauge,
    /// WorkerPresence alive, as this process sees them.
    pub workers_alive: Gauge,
    /// Requests taken back because no worker came for them.
    pub taken_back: Counter,
    /// 1 if finished requests pile up on the stream.
    pub untrimmed: Gauge,
}

/// Requests turned away, by reason.
#[derive(Clone)]
pub struct Refusals {
    /// As many callers wait as may: `reason="in_flight"`.
    pub in_flight: Counter,
    /// The estimated wait is too long for the deadline: `reason="wait"`.
    pub wait: Counter,
    /// No worker is alive: `reason="no_worker"`.
    pub no_worker: Counter,
    /// The circuit to Redis is not closed, or the reply lane is not read yet: `reason="unavailable"`.
    pub unavailable: Counter,
    /// This process is stopping: `reason="draining"`.
    pub draining: Counter,
}

impl Refusals {
    fn declare(declare: &Declare) -> Self {
        let of = |reason: &'static str| {
            declare.counter_of(
                "streamgate_requests_refused_total",
                "Requests turned away before anything was sent, by reason",
                "reason",
                reason,
            )
        };
        Self {
            in_flight: of("in_flight"),
            wait: of("wait"),
            no_worker: of("no_worker"),
            unavailable: of("unavailable"),
            draining: of("draining"),
        }
    }
}

impl RequesterMetrics {
    /// Declares them on the recorder in force, labelled with the stream that requests go to.
    pub fn declare(settings: &RequesterSettings) -> Self {
        let declare = Declare::labelled(&[("stream", settings.request_stream.as_str())]);
        Self {
            pending: declare.gauge("streamgate_pending_requests", "Callers that wait for a reply"),
            duration: declare.seconds(
                "streamgate_request_duration_seconds",
                "From admission to the reply, as the caller's process sees it",
            ),
            queue: declare.seconds(
                "streamgate_request_queue_seconds",
                "From admission to the start of the work",
            ),
            work: declare.seconds(
                "streamgate_request_work_seconds",
                "Time in the worker's handler, as the reply reports it",
            ),
            reply: declare.seconds("streamgate_request_reply_seconds", "From the stored reply to its caller"),
            timeouts: declare.counter(
                "streamgate_request_timeouts_total",
                "Requests whose deadline passed while their caller waited",
            ),
            late: declare.counter(
                "streamgate_replies_late_total",
                "Replies that came after their caller had gone; on a lane of one's own also a second reply",
            ),
            foreign: declare.counter(
                "streamgate_replies_foreign_total",
                "Replies nobody here waits for on a shared reply stream: another replica's, or a second reply",
            ),
            undecodable: declare.counter(
                "streamgate_replies_undecodable_total",
                "What stands on the reply stream and is no reply",
            ),
            refusals: Refusals::declare(&declare),
            estimated_wait: declare.gauge(
                "streamgate_estimated_wait_seconds",
                "How long a new request would wait before its work starts, in seconds; 0 without a queue",
            ),
            workers_alive: declare.gauge(
                "streamgate_workers_alive",
                "WorkerPresence that gave a sign of life within CONSUMER_GRACE, as this process last saw them",
            ),
            taken_back: declare.counter(
                "streamgate_requests_taken_back_total",
                "Requests taken off the stream undelivered, and their callers refused, because no worker came",
            ),
            untrimmed: declare.gauge(
                "streamgate_request_stream_untrimmed",
                "1 if finished requests pile up on the request stream because nobody trims it",
            ),
        }
    }
}
