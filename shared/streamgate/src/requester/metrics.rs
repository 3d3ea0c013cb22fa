use metrics::{Counter, Gauge, Histogram};

use super::settings::RequesterSettings;
use crate::stream::StreamKey;
use crate::telemetry::Declare;

/// Metrics of a requester: what comes on its reply lane.
#[derive(Clone)]
pub struct RequesterMetrics {
    /// Replies that came after their caller had gone.
    pub late: Counter,
    /// Replies on a shared lane without a caller in this process.
    pub foreign: Counter,
    /// Parts of entries on the lane that are no valid replies.
    pub undecodable: Counter,
}

/// Metrics of one destination: waiting callers and their replies.
#[derive(Clone)]
pub struct DestinationMetrics {
    /// Callers that wait for a reply.
    pub pending: Gauge,
    /// Time from admission to the reply, measured by this process.
    pub duration: Histogram,
    /// Time from admission to the start of the work.
    pub queue: Histogram,
    /// Time in the worker's handler.
    pub work: Histogram,
    /// Time from the stored reply to the caller.
    pub reply: Histogram,
    /// Deadlines that passed while a caller waited.
    pub timeouts: Counter,
    /// Requests refused before anything was sent.
    pub refusals: Refusals,
    /// How long a new request would wait before its work starts; 0 if there is no sign of a queue.
    pub estimated_wait: Gauge,
    /// Live workers, as this process last saw them.
    pub workers_alive: Gauge,
    /// Requests taken back because no worker was alive.
    pub taken_back: Counter,
    /// 1 if finished requests pile up on the stream.
    pub untrimmed: Gauge,
}

/// Requests refused, by reason.
#[derive(Clone)]
pub struct Refusals {
    /// The largest number of callers already waits: `reason="in_flight"`.
    pub in_flight: Counter,
    /// The estimated wait is too long for the deadline: `reason="wait"`.
    pub wait: Counter,
    /// No worker is alive: `reason="no_worker"`.
    pub no_worker: Counter,
    /// The circuit to Redis is not closed, the reply lane cannot be read, or a command is denied:
    /// `reason="unavailable"`.
    pub unavailable: Counter,
    /// This process is stopping: `reason="draining"`.
    pub draining: Counter,
}

impl Refusals {
    fn declare(declare: &Declare) -> Self {
        let of = |reason: &'static str| {
            declare.counter_of(
                "streamgate_requests_refused_total",
                "Requests refused before anything was sent, by reason",
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
    /// Declares them on the current recorder, with the reply stream as label.
    pub fn declare(settings: &RequesterSettings) -> Self {
        let declare = Declare::labelled(&[("stream", settings.reply_stream.as_str())]);
        Self {
            late: declare.counter(
                "streamgate_replies_late_total",
                "Replies that came after their caller had gone; on a lane with one reader also second replies",
            ),
            foreign: declare.counter(
                "streamgate_replies_foreign_total",
                "Replies on a shared reply stream without a caller here: another replica's, or second replies",
            ),
            undecodable: declare.counter(
                "streamgate_replies_undecodable_total",
                "Messages on the reply stream that are no valid replies",
            ),
        }
    }
}

impl DestinationMetrics {
    /// Declares them on the current recorder, with the request stream as label.
    pub fn declare(stream: &StreamKey) -> Self {
        let declare = Declare::labelled(&[("stream", stream.as_str())]);
        Self {
            pending: declare.gauge("streamgate_pending_requests", "Callers that wait for a reply"),
            duration: declare.seconds(
                "streamgate_request_duration_seconds",
                "From admission to the reply, as the requesting process measures it",
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
            refusals: Refusals::declare(&declare),
            estimated_wait: declare.gauge(
                "streamgate_estimated_wait_seconds",
                "How long a new request would wait before its work starts, in seconds; 0 without a queue",
            ),
            workers_alive: declare.gauge(
                "streamgate_workers_alive",
                "Workers that gave a sign of life within CONSUMER_GRACE, as this process last saw them",
            ),
            taken_back: declare.counter(
                "streamgate_requests_taken_back_total",
                "Undelivered requests removed from the stream, and their callers refused, because no worker was alive",
            ),
            untrimmed: declare.gauge(
                "streamgate_request_stream_untrimmed",
                "1 if finished requests pile up on the request stream because no worker trims it",
            ),
        }
    }
}
