use std::sync::Arc;
use std::time::Duration;

use crate::connection::Rehearsal;
use crate::stream::{GroupSettings, HousekeepingSettings, StreamKey};
use crate::telemetry::Tracer;
use crate::worker::rehearsal_of;

/// Settings of a [`Responder`](super::Responder).
#[derive(Debug, Clone)]
pub struct ResponderSettings {
    /// The stream, the consumer group and this worker's name in the group.
    pub group: GroupSettings,
    /// The worker's name in its replies. If the worker had to join the group under another name, that name is used.
    pub worker: Arc<str>,
    /// Replies go to this stream or one of its lanes. A request with another `reply_to` becomes a dead letter.
    pub reply_stream: StreamKey,
    /// The most requests that the worker works on at once.
    pub concurrency: usize,
    /// The longest a handler may take.
    pub handler_timeout: Duration,
    /// Deliveries after which an entry is given up.
    pub max_deliveries: u32,
    /// Time from a request's entry to its deadline, if the request names no deadline.
    pub request_timeout: Duration,
    /// How the worker keeps the stream short. `None`: it does not trim, so another process must.
    pub housekeeping: Option<HousekeepingSettings>,
    /// Starts the spans of the work.
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

    /// The commands that a responder needs, in forms without effect.
    pub(super) fn rehearsal(&self) -> Rehearsal {
        let replies = self.reply_stream.as_str();
        let lane = format!("{replies}.rehearsal");
        rehearsal_of(&self.group, false)
            .step("xadd", &["XADD", replies, "0-0", "", ""])
            .step("xadd", &["XADD", &lane, "0-0", "", ""])
            .step("expire", &["EXPIRE", &lane, "1", "NX", "XX"])
    }
}
