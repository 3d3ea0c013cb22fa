use metrics::{Counter, Gauge, Histogram};

use super::settings::ResponderSettings;
use crate::stream::GroupMetrics;
use crate::telemetry::Declare;

/// Metrics of a worker: its deliveries and their outcomes.
#[derive(Clone)]
pub struct ResponderMetrics {
    /// Metrics of its consumer group.
    pub group: GroupMetrics,
    /// Requests a worker holds.
    pub in_flight: Gauge,
    /// The most requests that the worker works on at once.
    pub in_flight_limit: Gauge,
    /// Time from the entry's id to the start of its handler.
    pub queue: Histogram,
    /// Time in the handler.
    pub work: Histogram,
    /// Replies stored.
    pub replies: Counter,
    /// Replies that had to be stored again after a refusal.
    pub reply_retries: Counter,
    /// Entries dropped because their deadline had passed or was too close.
    pub expired: Counter,
}

impl ResponderMetrics {
    /// Declares them on the current recorder, with the labels stream and group.
    pub fn declare(settings: &ResponderSettings) -> Self {
        let declare = Declare::labelled(&settings.group.labels());
        Self {
            group: GroupMetrics::declare(&settings.group),
            in_flight: declare.gauge("streamgate_in_flight_requests", "Requests this worker holds"),
            in_flight_limit: declare
                .gauge("streamgate_in_flight_limit", "Most requests that this worker works on at once"),
            queue: declare.seconds(
                "streamgate_delivery_queue_seconds",
                "From the entry's id to the start of its handler",
            ),
            work: declare.seconds("streamgate_handler_duration_seconds", "Time in the handler"),
            replies: declare.counter("streamgate_replies_total", "Replies stored on a reply stream"),
            reply_retries: declare.counter(
                "streamgate_reply_retries_total",
                "Replies stored again after Redis refused or lost them",
            ),
            expired: declare.counter(
                "streamgate_expired_total",
                "Entries dropped because their deadline had passed or was too close",
            ),
        }
    }
}
