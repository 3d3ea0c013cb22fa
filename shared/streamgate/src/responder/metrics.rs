use metrics::Counter;

use super::settings::ResponderSettings;
use crate::telemetry::Declare;
use crate::worker::{ReplyMetrics, WorkerMetrics};

/// Metrics of a responder: its deliveries and their outcomes.
#[derive(Clone)]
pub struct ResponderMetrics {
    /// Metrics of its deliveries.
    pub worker: WorkerMetrics,
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
            worker: WorkerMetrics::declare(&settings.group),
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

    pub(super) fn of_replies(&self) -> ReplyMetrics {
        let Self { replies, reply_retries, expired, .. } = self.clone();
        ReplyMetrics { replies, reply_retries, expired }
    }
}
