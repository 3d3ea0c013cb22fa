use metrics::{Counter, Gauge, Histogram};

use crate::stream::{GroupMetrics, GroupSettings};
use crate::telemetry::Declare;

/// Metrics of a worker: its deliveries and its handler.
#[derive(Clone)]
pub struct WorkerMetrics {
    /// Metrics of its consumer group.
    pub group: GroupMetrics,
    /// Entries a worker holds.
    pub in_flight: Gauge,
    /// The most entries that the worker works on at once.
    pub in_flight_limit: Gauge,
    /// Time from the entry's id to the start of its handler.
    pub queue: Histogram,
    /// Time in the handler.
    pub work: Histogram,
}

impl WorkerMetrics {
    /// Declares them on the current recorder, with the labels stream and group.
    pub fn declare(group: &GroupSettings) -> Self {
        let declare = Declare::labelled(&group.labels());
        Self {
            group: GroupMetrics::declare(group),
            in_flight: declare.gauge("streamgate_in_flight_requests", "Requests this worker holds"),
            in_flight_limit: declare
                .gauge("streamgate_in_flight_limit", "Most requests that this worker works on at once"),
            queue: declare.seconds(
                "streamgate_delivery_queue_seconds",
                "From the entry's id to the start of its handler",
            ),
            work: declare.seconds("streamgate_handler_duration_seconds", "Time in the handler"),
        }
    }
}

/// What the settler counts of the replies that it stores.
#[derive(Clone)]
pub(crate) struct ReplyMetrics {
    /// Replies stored.
    pub(crate) replies: Counter,
    /// Replies that had to be stored again after a refusal.
    pub(crate) reply_retries: Counter,
    /// Entries dropped because their deadline had passed or was too close.
    pub(crate) expired: Counter,
}

impl ReplyMetrics {
    /// For a worker that sends no replies: nothing is exported.
    pub(crate) fn none() -> Self {
        Self { replies: Counter::noop(), reply_retries: Counter::noop(), expired: Counter::noop() }
    }
}
