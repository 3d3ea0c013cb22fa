//! Every metric of the engine, declared once: name, help, unit, labels.
//!
//! A struct per role holds the handles, so that the hot path never looks a metric up by name.
//! Handles belong to the recorder that is in force when the struct is declared
//! (`metrics::with_local_recorder` in tests, the global one otherwise).

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Declares a counter: its help text and its handle.
pub fn declare_counter(name: &'static str, help: &'static str) -> Counter {
    describe_counter!(name, help);
    counter!(name)
}

/// Declares a gauge: its help text and its handle.
pub fn declare_gauge(name: &'static str, help: &'static str) -> Gauge {
    describe_gauge!(name, help);
    gauge!(name)
}

/// Declares a histogram of seconds: its help text and its handle.
pub fn declare_seconds(name: &'static str, help: &'static str) -> Histogram {
    describe_histogram!(name, Unit::Seconds, help);
    histogram!(name)
}

/// The command connection to Redis.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// 0 closed, 1 half open, 2 open.
    pub circuit_state: Gauge,
    /// Connections made anew after the first.
    pub reconnects: Counter,
    /// Pipelines sent again after a transient failure.
    pub retries: Counter,
    /// Round trip of the last heartbeat.
    pub round_trip: Gauge,
    /// 1 while the server may delete streams when its memory is full.
    pub may_evict: Gauge,
}

impl ConnectionMetrics {
    /// Declares them on the recorder in force.
    pub fn declare() -> Self {
        Self {
            circuit_state: declare_gauge(
                "streamgate_redis_circuit_state",
                "State of the circuit breaker to Redis: 0 closed, 1 half open, 2 open",
            ),
            reconnects: declare_counter(
                "streamgate_redis_reconnects_total",
                "Connections to Redis that were made anew after a failure",
            ),
            retries: declare_counter(
                "streamgate_redis_retries_total",
                "Commands sent to Redis again after a transient failure",
            ),
            round_trip: declare_gauge(
                "streamgate_redis_round_trip_seconds",
                "Round trip of the last heartbeat to Redis, in seconds",
            ),
            may_evict: declare_gauge(
                "streamgate_redis_may_evict",
                "1 if Redis deletes keys, and so streams, when its memory is full (maxmemory-policy)",
            ),
        }
    }
}

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
    /// Workers alive, as this process sees them.
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
    const NAME: &str = "streamgate_requests_refused_total";

    fn declare() -> Self {
        describe_counter!(Self::NAME, "Requests turned away before anything was sent, by reason");
        let of = |reason: &'static str| counter!(Self::NAME, "reason" => reason);
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
    /// Declares them on the recorder in force.
    pub fn declare() -> Self {
        Self {
            pending: declare_gauge("streamgate_pending_requests", "Callers that wait for a reply"),
            duration: declare_seconds(
                "streamgate_request_duration_seconds",
                "From admission to the reply, as the caller's process sees it",
            ),
            queue: declare_seconds(
                "streamgate_request_queue_seconds",
                "From admission to the start of the work",
            ),
            work: declare_seconds(
                "streamgate_request_work_seconds",
                "Time in the worker's handler, as the reply reports it",
            ),
            reply: declare_seconds("streamgate_request_reply_seconds", "From the stored reply to its caller"),
            timeouts: declare_counter(
                "streamgate_request_timeouts_total",
                "Requests whose deadline passed while their caller waited",
            ),
            late: declare_counter(
                "streamgate_replies_late_total",
                "Replies that came after their caller had gone; on a lane of one's own also a second reply",
            ),
            foreign: declare_counter(
                "streamgate_replies_foreign_total",
                "Replies nobody here waits for on a shared reply stream: another replica's, or a second reply",
            ),
            undecodable: declare_counter(
                "streamgate_replies_undecodable_total",
                "What stands on the reply stream and is no reply",
            ),
            refusals: Refusals::declare(),
            estimated_wait: declare_gauge(
                "streamgate_estimated_wait_seconds",
                "How long a new request would wait before its work starts, in seconds; 0 without a queue",
            ),
            workers_alive: declare_gauge(
                "streamgate_workers_alive",
                "Workers that gave a sign of life within CONSUMER_GRACE, as this process last saw them",
            ),
            taken_back: declare_counter(
                "streamgate_requests_taken_back_total",
                "Requests taken off the stream undelivered, and their callers refused, because no worker came",
            ),
            untrimmed: declare_gauge(
                "streamgate_request_stream_untrimmed",
                "1 if finished requests pile up on the request stream because nobody trims it",
            ),
        }
    }
}

/// The responding side: deliveries and what became of them.
#[derive(Clone)]
pub struct ResponderMetrics {
    /// Requests a worker holds.
    pub in_flight: Gauge,
    /// As many it works on at once.
    pub in_flight_limit: Gauge,
    /// From the entry's id to the start of its handler.
    pub queue: Histogram,
    /// In the handler.
    pub work: Histogram,
    /// Replies stored.
    pub replies: Counter,
    /// Replies that had to be stored again after a refusal.
    pub reply_retries: Counter,
    /// Deliveries after the first.
    pub redeliveries: Counter,
    /// Entries taken over from another consumer.
    pub claims: Counter,
    /// Pending entries that trimming had deleted: each is a loss.
    pub deleted: Counter,
    /// Leases another consumer took.
    pub lost_leases: Counter,
    /// Entries given up with a reason.
    pub dead_letters: Counter,
    /// Dead letters cut off to keep their number bounded.
    pub dead_letters_trimmed: Counter,
    /// Entries that should have been given up and could not.
    pub dead_letters_refused: Counter,
    /// Entries dropped because their deadline had passed or was too close.
    pub expired: Counter,
    /// Entries a stopping worker gave back.
    pub handed_back: Counter,
    /// Consumer groups made anew after they had vanished.
    pub group_recreations: Counter,
    /// Finished entries cut off the old end of the request stream.
    pub trimmed: Counter,
}

impl ResponderMetrics {
    /// Declares them on the recorder in force.
    pub fn declare() -> Self {
        Self {
            in_flight: declare_gauge("streamgate_in_flight_requests", "Requests this worker holds"),
            in_flight_limit: declare_gauge(
                "streamgate_in_flight_limit",
                "Requests this worker works on at once at most",
            ),
            queue: declare_seconds(
                "streamgate_delivery_queue_seconds",
                "From the entry's id to the start of its handler",
            ),
            work: declare_seconds("streamgate_handler_duration_seconds", "Time in the handler"),
            replies: declare_counter("streamgate_replies_total", "Replies stored on a reply stream"),
            reply_retries: declare_counter(
                "streamgate_reply_retries_total",
                "Replies stored again after Redis refused or lost them",
            ),
            redeliveries: declare_counter(
                "streamgate_redeliveries_total",
                "Deliveries of an entry after its first",
            ),
            claims: declare_counter(
                "streamgate_claims_total",
                "Entries taken over from a consumer that had let them idle",
            ),
            deleted: declare_counter(
                "streamgate_deleted_pending_total",
                "Pending entries that had been deleted from the stream: each is a lost request",
            ),
            lost_leases: declare_counter(
                "streamgate_lost_leases_total",
                "Entries another consumer took while this one held them",
            ),
            dead_letters: declare_counter(
                "streamgate_dead_letters_total",
                "Entries moved to the dead letters",
            ),
            dead_letters_trimmed: declare_counter(
                "streamgate_dead_letters_trimmed_total",
                "Dead letters cut off, unseen or not, to keep about DEAD_LETTERS_KEPT",
            ),
            dead_letters_refused: declare_counter(
                "streamgate_dead_letters_refused_total",
                "Entries Redis would not take as dead letters; they stay pending and are tried again",
            ),
            expired: declare_counter(
                "streamgate_expired_total",
                "Entries dropped because nobody waited for them any more",
            ),
            handed_back: declare_counter(
                "streamgate_handed_back_total",
                "Entries a stopping worker gave back unworked",
            ),
            group_recreations: declare_counter(
                "streamgate_group_recreations_total",
                "Consumer groups recreated after they had vanished",
            ),
            trimmed: declare_counter(
                "streamgate_trimmed_entries_total",
                "Finished entries cut off the old end of the request stream by this worker",
            ),
        }
    }
}
