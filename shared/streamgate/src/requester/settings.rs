use std::time::Duration;

use crate::connection::{LAST_ID, Rehearsal};
use crate::stream::StreamKey;
use crate::telemetry::Tracer;

/// Settings of a [`Requester`].
#[derive(Debug, Clone)]
pub struct RequesterSettings {
    /// Where requests go.
    pub request_stream: StreamKey,
    /// The plain reply stream; the lane of this replica is derived from it.
    pub reply_stream: StreamKey,
    /// This replica's name: its own lane, `<reply_stream>.<replica>`. `None` shares the plain one.
    pub replica: Option<String>,
    /// How many callers may wait at once.
    pub max_in_flight: usize,
    /// The longest timeout a call may have.
    pub longest_timeout: Duration,
    /// Who does the work: requests are refused while nobody of them is alive. `None`: not looked at.
    pub workers: Option<WorkerGroup>,
    /// How long to look for a near reply, or a near request, before going to sleep, while few callers
    /// wait and replies come within this time; zero is never. It takes processor time and spares the
    /// time it takes to wake a thread, which is most of a lone request's.
    pub busy_poll: Duration,
    /// Where spans of the requests go.
    pub tracer: Tracer,
}

/// The workers a requester counts on.
#[derive(Debug, Clone)]
pub struct WorkerGroup {
    /// Their consumer group.
    pub name: String,
    /// A worker silent for longer counts as dead.
    pub grace: Duration,
}

impl RequesterSettings {
    /// What a requester does on its streams, without doing it.
    pub(super) fn rehearsal(&self, lane: &StreamKey) -> Rehearsal {
        let (requests, lane) = (self.request_stream.as_str(), lane.as_str());
        let rehearsal = Rehearsal::default()
            .step("xadd", &["XADD", requests, "0-0", "", ""])
            .step("xlen", &["XLEN", requests])
            .step("xread", &["XREAD", "COUNT", "1", "STREAMS", lane, LAST_ID])
            .step("xinfo|stream", &["XINFO", "STREAM", lane])
            .step("xlen", &["XLEN", lane])
            .step("xtrim", &["XTRIM", lane, "MAXLEN", "-1"])
            .step("expire", &["EXPIRE", lane, "1", "NX", "XX"])
            .step("time", &["TIME"]);
        match &self.workers {
            // What nobody will work on any more is taken back.
            Some(group) => rehearsal
                .step("xinfo|consumers", &["XINFO", "CONSUMERS", requests, &group.name])
                .step("xinfo|groups", &["XINFO", "GROUPS", requests])
                .step("xpending", &["XPENDING", requests, &group.name, LAST_ID, LAST_ID, "1"])
                .step("xrange", &["XRANGE", requests, LAST_ID, LAST_ID])
                .step("xdel", &["XDEL", requests, LAST_ID])
                .step("evalsha", &["EVALSHA", "0000000000000000000000000000000000000000", "0"])
                .step("eval", &["EVAL", "return 1", "-1"]),
            None => rehearsal,
        }
    }
}
