use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::connection::{LAST_ID, Rehearsal};
use crate::stream::StreamKey;
use crate::telemetry::Tracer;

/// Settings of a [`Requester`](super::Requester).
#[derive(Debug, Clone)]
pub struct RequesterSettings {
    /// The reply stream that replicas without a name share.
    pub reply_stream: StreamKey,
    /// This replica's name. With a name, it has a reply lane of its own: `<reply_stream>.<replica>`.
    pub replica: Option<String>,
    /// The most callers that may wait at once, over all streams.
    pub max_in_flight: usize,
    /// The longest timeout a call may have. [`Requester::allow_timeout`](super::Requester::allow_timeout) raises it.
    pub longest_timeout: Duration,
    /// How long to poll the sockets for the next reply or request before the thread sleeps, while few callers
    /// wait and replies come within this time; zero: never. Polling takes processor time, but saves the
    /// time to wake a thread, which is most of the time of a single request.
    pub busy_poll: Duration,
    /// Starts the spans of the requests.
    pub tracer: Tracer,
}

/// Settings of a [`Destination`](super::Destination).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationSettings {
    /// The stream for requests.
    pub stream: StreamKey,
    /// The workers: requests are refused while none of them is alive. `None`: the workers are not watched.
    pub workers: Option<WorkerGroup>,
}

/// The group of workers that a destination needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerGroup {
    /// Their consumer group.
    pub name: String,
    /// A worker silent for longer counts as dead.
    pub grace: Duration,
}

impl RequesterSettings {
    /// The commands that a requester needs for its lane, in forms without effect.
    pub(super) fn rehearsal(&self, lane: &StreamKey) -> Rehearsal {
        let lane = lane.as_str();
        Rehearsal::default()
            .step("xread", &["XREAD", "COUNT", "1", "STREAMS", lane, LAST_ID])
            .step("xinfo|stream", &["XINFO", "STREAM", lane])
            .step("xlen", &["XLEN", lane])
            .step("xtrim", &["XTRIM", lane, "MAXLEN", "-1"])
            .step("expire", &["EXPIRE", lane, "1", "NX", "XX"])
            .step("time", &["TIME"])
    }
}

impl DestinationSettings {
    /// The commands that a requester needs for this stream, in forms without effect.
    pub(super) fn rehearsal(&self) -> Rehearsal {
        let requests = self.stream.as_str();
        let rehearsal = Rehearsal::default()
            .step("xadd", &["XADD", requests, "0-0", "", ""])
            .step("xlen", &["XLEN", requests]);
        match &self.workers {
            // For watching the workers, and for taking back requests while no worker is alive.
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

/// The longest timeout that a call may have now, in whole milliseconds. It only grows.
#[derive(Clone)]
pub(super) struct LongestTimeout(Arc<AtomicU64>);

impl LongestTimeout {
    pub(super) fn new(timeout: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(timeout.as_millis() as u64)))
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn raise(&self, timeout: Duration) {
        self.0.fetch_max(timeout.as_millis() as u64, Ordering::Relaxed);
    }
}
