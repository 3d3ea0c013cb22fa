//! Streams and their groups as Prometheus sees them; refreshed by housekeeping, never per request.
//!
//! The engine's own metrics are declared in `streamgate::telemetry::metrics`, those of the weather
//! service in [`crate::weather::metrics`].

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Recorder, describe_gauge, gauge};
use streamgate::stream::StreamHealth;
use streamgate::telemetry::metrics::{declare_counter, declare_gauge};

/// What operators do with dead letters.
#[derive(Clone)]
pub struct OperationMetrics {
    /// Put back on the request stream.
    pub replayed: Counter,
    /// Removed for good.
    pub discarded: Counter,
}

impl OperationMetrics {
    /// Declares them on the recorder in force; about `kept` dead letters are kept.
    pub fn declare(kept: usize) -> Self {
        declare_gauge(
            "streamgate_dead_letters_limit",
            "Dead letters that are kept, about: DEAD_LETTERS_KEPT",
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

/// Streams and their groups, refreshed on a tick.
pub struct StreamMetrics {
    /// Entries cut off the old end.
    pub trimmed: Counter,
    recorder: Arc<dyn Recorder + Send + Sync>,
}

const LENGTH: &str = "streamgate_stream_length";
const BYTES: &str = "streamgate_stream_bytes";
const LAG: &str = "streamgate_group_lag";
const PENDING: &str = "streamgate_group_pending";
const OLDEST_AGE: &str = "streamgate_group_oldest_age_seconds";
const ALIVE: &str = "streamgate_group_consumers_alive";
const ABANDONED: &str = "streamgate_group_abandoned";

impl StreamMetrics {
    /// Declares them on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let trimmed = metrics::with_local_recorder(&recorder, || {
            describe_gauge!(LENGTH, "Entries on a stream, by stream");
            describe_gauge!(BYTES, "Memory of a stream in bytes, by stream");
            describe_gauge!(
                LAG,
                "Entries a group has not read, by stream and group; -1 when Redis cannot tell"
            );
            describe_gauge!(PENDING, "Entries a group has read and not acknowledged, by stream and group");
            describe_gauge!(
                OLDEST_AGE,
                "Age of the oldest entry a group has not acknowledged, in seconds, by stream and group"
            );
            describe_gauge!(
                ALIVE,
                "Consumers of a group that gave a sign of life within the grace period, by stream and group"
            );
            describe_gauge!(
                ABANDONED,
                "1 if nobody reads a group although there is work, which stops trimming, by stream and group"
            );
            declare_counter(
                "streamgate_trimmed_entries_total",
                "Finished entries cut off the request stream by this process",
            )
        });
        Self { trimmed, recorder }
    }

    /// Records how `stream` is.
    pub fn record(&self, stream: &str, health: &StreamHealth, grace: Duration) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(LENGTH, "stream" => stream.to_owned()).set(health.length as f64);
            gauge!(BYTES, "stream" => stream.to_owned()).set(health.bytes as f64);
            for group in &health.groups {
                let labels = [("stream", stream.to_owned()), ("group", group.name.clone())];
                gauge!(LAG, &labels).set(group.lag.map_or(-1.0, |lag| lag as f64));
                gauge!(PENDING, &labels).set(group.pending as f64);
                gauge!(OLDEST_AGE, &labels).set(group.oldest_age.as_secs_f64());
                gauge!(ALIVE, &labels).set(group.alive(grace) as f64);
                gauge!(ABANDONED, &labels).set(f64::from(u8::from(group.is_abandoned(grace))));
            }
        });
    }

    /// Records that there is no such stream.
    pub fn record_absent(&self, stream: &str) {
        metrics::with_local_recorder(&self.recorder, || {
            gauge!(LENGTH, "stream" => stream.to_owned()).set(0.0);
            gauge!(BYTES, "stream" => stream.to_owned()).set(0.0);
        });
    }
}
