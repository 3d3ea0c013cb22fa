use std::sync::Arc;
use std::time::Duration;

use super::housekeeping::HousekeepingSettings;
use crate::connection::{LAST_ID, Rehearsal};
use crate::stream::{GroupSettings, StreamKey};
use crate::telemetry::Tracer;

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

    /// What a worker does on its streams, without doing it.
    pub(super) fn rehearsal(&self) -> Rehearsal {
        let GroupSettings { stream, group, consumer, .. } = &self.group;
        let (dead_letters, replies) = (stream.dead_letters(), self.reply_stream.as_str());
        let (stream, dead_letters) = (stream.as_str(), dead_letters.as_str());
        let lane = format!("{replies}.rehearsal");
        let min_idle = self.group.claim_min_idle.as_millis().to_string();
        Rehearsal::default()
            .step("xreadgroup", &["XREADGROUP", "GROUP", group, consumer, "STREAMS", stream, "no id"])
            .step("xautoclaim", &["XAUTOCLAIM", stream, group, consumer, &min_idle, "no id"])
            .step("xclaim", &["XCLAIM", stream, group, consumer, "0", "no id"])
            .step("xpending", &["XPENDING", stream, group, LAST_ID, LAST_ID, "1"])
            .step("xrange", &["XRANGE", stream, LAST_ID, LAST_ID])
            .step("xack", &["XACK", stream, group, "0-0"])
            .step("xadd", &["XADD", replies, "0-0", "", ""])
            .step("xadd", &["XADD", &lane, "0-0", "", ""])
            .step("expire", &["EXPIRE", &lane, "1", "NX", "XX"])
            .step("xadd", &["XADD", dead_letters, "0-0", "", ""])
            .step("xlen", &["XLEN", stream])
            .step("xtrim", &["XTRIM", stream, "MAXLEN", "-1"])
            .step("xgroup|create", &["XGROUP", "CREATE", stream, group, "no id"])
            .step("xgroup|delconsumer", &["XGROUP", "DELCONSUMER", stream, group, "no consumer"])
            .step("xinfo|consumers", &["XINFO", "CONSUMERS", stream, group])
            .step("xinfo|groups", &["XINFO", "GROUPS", stream])
            .step("xinfo|stream", &["XINFO", "STREAM", stream])
            .step("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"])
            .step("eval", &["EVAL", "return 1", "-1"])
            .step("time", &["TIME"])
    }
}
