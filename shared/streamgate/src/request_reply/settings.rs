use std::sync::Arc;
use std::time::Duration;

use super::housekeeping::HousekeepingSettings;
use crate::stream::{GroupSettings, StreamKey};
use crate::telemetry::Tracer;

/// The workers a requester counts on.
#[derive(Debug, Clone)]
pub struct WorkerGroup {
    /// Their consumer group.
    pub name: String,
    /// A worker silent for longer counts as dead.
    pub grace: Duration,
}

/// Settings of a [`Responder`](super::Responder).
#[derive(Debug, Clone)]
pub struct ResponderSettings {
    /// Which stream, as whom.
    pub group: GroupSettings,
    /// The worker's name, as replies carry it; the consumer's if that had to be another one than wanted.
    pub worker: Arc<str>,
    /// Replies go to this stream or one of its lanes; anything else is refused.
    pub reply_stream: StreamKey,
    /// Requests worked on at once.
    pub concurrency: usize,
    /// The longest a handler may take.
    pub handler_timeout: Duration,
    /// Deliveries after which an entry is given up.
    pub max_deliveries: u32,
    /// The deadline of a request that names none, counted from its entry.
    pub request_timeout: Duration,
    /// How the worker keeps the stream short. `None`: it does not, and somebody else must.
    pub housekeeping: Option<HousekeepingSettings>,
    /// Where spans of the work go.
    pub tracer: Tracer,
}

impl ResponderSettings {
    /// The defaults that the proxy ships with, for the worker `consumer` of `group`.
    pub fn new(requests: StreamKey, replies: StreamKey, group: &str, consumer: &str) -> Self {
        Self {
            group: GroupSettings::new(requests, group, consumer),
            worker: consumer.into(),
            reply_stream: replies,
            concurrency: 256,
            handler_timeout: Duration::from_secs(10),
            max_deliveries: 5,
            request_timeout: Duration::from_secs(30),
            housekeeping: Some(HousekeepingSettings::default()),
            tracer: Tracer::default(),
        }
    }
}
