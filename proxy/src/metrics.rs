//! Metrics of the streams, of their groups and of the Redis server. Housekeeping refreshes them; no
//! request does.
//!
//! The `streamgate` library declares its own metrics, and [`crate::weather::metrics`] those of the
//! weather service.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Recorder, describe_gauge, gauge};
use streamgate::connection::ServerMemory;
use streamgate::stream::{GroupHealth, StreamHealth};
use streamgate::telemetry::{declare_counter, declare_gauge};

/// Counts what operators do with dead letters.
#[derive(Clone)]
pub struct OperationMetrics {
    /// Put back on the request stream.
    pub replayed: Counter,
    /// Removed for good.
    pub discarded: Counter,
}

impl OperationMetrics {
    /// Declares them on the current recorder; about `kept` dead letters are kept.
    pub fn declare(kept: usize) -> Self {
        declare_gauge(
            "streamgate_dead_letters_limit",
            "Approximate number of dead letters that are kept: DEAD_LETTERS_KEPT",
        )
        .set(kept as f64);
        Self {
            replayed: declare_counter(
                "streamgate_dead_letters_replayed_total",
                "Dead letters put back on the request stream through this process",
            ),
            discarded: declare_counter(
                "streamgate_dead_letters_discarded_total",
                "Dead letters discarded through this process",
            ),
        }
    }
}

/// Gauges of streams and their groups, refreshed at every tick.
pub struct StreamMetrics {
    memory: Gauge,
    memory_limit: Gauge,
    /// The groups seen so far, by stream. A gauge cannot be removed, so when a group is gone its
    /// gauges are set to 0.
    groups: HashMap<String, HashSet<String>>,
    recorder: Arc<dyn Recorder + Send + Sync>,
}

const LENGTH: &str = "streamgate_stream_length";
const BYTES: &str = "streamgate_stream_bytes";
const TIMEOUT: &str = "streamgate_request_timeout_seconds";
const LAG: &str = "streamgate_group_lag";
const PENDING: &str = "streamgate_group_pending";
const OLDEST_AGE: &str = "streamgate_group_oldest_age_seconds";
const OLDEST_PENDING_AGE: &str = "streamgate_group_oldest_pending_age_seconds";
const OLDEST_UNREAD_AGE: &str = "streamgate_group_oldest_unread_age_seconds";
const ALIVE: &str = "streamgate_group_consumers_alive";
const ABANDONED: &str = "streamgate_group_abandoned";

impl StreamMetrics {
    /// Declares them on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let (memory, memory_limit) = metrics::with_local_recorder(&recorder, || {
            describe();
            let memory = declare_gauge("streamgate_redis_memory_bytes", "Memory that Redis uses, in bytes");
            let limit = declare_gauge(
                "streamgate_redis_memory_limit_bytes",
                "Memory that Redis may use (maxmemory), in bytes; 0 without a limit",
            );
            (memory, limit)
        });
        Self { memory, memory_limit, groups: HashMap::new(), recorder }
    }

    /// Records the health of `stream`.
    pub fn record(&mut self, stream: &str, health: &StreamHealth, grace: Duration) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(LENGTH, "stream" => stream.to_owned()).set(health.length as f64);
            gauge!(BYTES, "stream" => stream.to_owned()).set(health.bytes as f64);
            for group in &health.groups {
                set_group(stream, group, grace);
            }
        });
        self.forget_groups(stream, health.groups.iter().map(|group| group.name.clone()).collect());
    }

    /// Records that `stream` does not exist.
    pub fn record_absent(&mut self, stream: &str) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(LENGTH, "stream" => stream.to_owned()).set(0.0);
            gauge!(BYTES, "stream" => stream.to_owned()).set(0.0);
        });
        self.forget_groups(stream, HashSet::new());
    }

    /// Records how long callers wait for the requests on `stream`.
    pub fn record_timeout(&self, stream: &str, timeout: Duration) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(TIMEOUT, "stream" => stream.to_owned()).set(timeout.as_secs_f64());
        });
    }

    /// Records the memory of the Redis server.
    pub fn record_memory(&self, memory: &ServerMemory) {
        self.memory.set(memory.used as f64);
        self.memory_limit.set(memory.limit as f64);
    }

    /// Sets the gauges of each group of `stream` that is not in `now` to 0.
    fn forget_groups(&mut self, stream: &str, now: HashSet<String>) {
        let before = self.groups.insert(stream.to_owned(), now.clone()).unwrap_or_default();
        metrics::with_local_recorder(&self.recorder, || {
            for group in before.difference(&now) {
                set_values(stream, group, [0.0; 7]);
            }
        });
    }
}

fn describe() {
    describe_gauge!(LENGTH, "Entries on a stream, by stream");
    describe_gauge!(BYTES, "Memory of a stream in bytes, by stream");
    describe_gauge!(TIMEOUT, "How long callers wait for the requests on a stream, in seconds, by stream");
    describe_gauge!(LAG, "Entries a group has not read, by stream and group; -1 when Redis cannot tell");
    describe_gauge!(PENDING, "Entries a group has read and not acknowledged, by stream and group");
    describe_gauge!(
        OLDEST_AGE,
        "Age of the oldest entry a group has not acknowledged, in seconds, by stream and group"
    );
    describe_gauge!(
        OLDEST_PENDING_AGE,
        "Age of the oldest entry a group has read and not acknowledged, in seconds, by stream and group"
    );
    describe_gauge!(
        OLDEST_UNREAD_AGE,
        "Age of the oldest entry a group has not read, in seconds, by stream and group"
    );
    describe_gauge!(
        ALIVE,
        "Consumers of a group that gave a sign of life within the grace period, by stream and group"
    );
    describe_gauge!(
        ABANDONED,
        "1 if no consumer reads a group although entries wait, which stops trimming, by stream and group"
    );
}

fn set_group(stream: &str, group: &GroupHealth, grace: Duration) {
    let values = [
        group.lag.map_or(-1.0, |lag| lag as f64),
        group.pending as f64,
        group.oldest_age.as_secs_f64(),
        group.oldest_pending_age.as_secs_f64(),
        group.oldest_unread_age.as_secs_f64(),
        group.alive(grace) as f64,
        f64::from(u8::from(group.is_abandoned(grace))),
    ];
    set_values(stream, &group.name, values);
}

fn set_values(stream: &str, group: &str, values: [f64; 7]) {
    let names = [LAG, PENDING, OLDEST_AGE, OLDEST_PENDING_AGE, OLDEST_UNREAD_AGE, ALIVE, ABANDONED];
    let labels = [("stream", stream.to_owned()), ("group", group.to_owned())];
    for (name, value) in names.into_iter().zip(values) {
        gauge!(name, &labels).set(value);
    }
}
