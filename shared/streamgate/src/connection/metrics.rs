use metrics::{Counter, Gauge};

use crate::telemetry::{declare_counter, declare_gauge};

/// Metrics of the connections to Redis.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// State of the circuit breaker: 0 closed, 1 half open, 2 open.
    pub circuit_state: Gauge,
    /// Connections made again after a failure.
    pub reconnects: Counter,
    /// Commands sent again after a transient failure.
    pub retries: Counter,
    /// Round trip of the last heartbeat.
    pub round_trip: Gauge,
    /// 1 while the server may delete streams when its memory is full.
    pub may_evict: Gauge,
}

impl ConnectionMetrics {
    /// Declares them on the current recorder.
    pub fn declare() -> Self {
        Self {
            circuit_state: declare_gauge(
                "streamgate_redis_circuit_state",
                "State of the circuit breaker to Redis: 0 closed, 1 half open, 2 open",
            ),
            reconnects: declare_counter(
                "streamgate_redis_reconnects_total",
                "New connections to Redis after a failure",
            ),
            retries: declare_counter(
                "streamgate_redis_retries_total",
                "Commands sent to Redis again after a transient failure",
            ),
            round_trip: declare_gauge(
                "streamgate_redis_round_trip_seconds",
                "Round trip of the last heartbeat to Redis, in seconds",
            ),
            may_evict: declare_gauge(
                "streamgate_redis_may_evict",
                "1 if Redis deletes keys, and so streams, when its memory is full (maxmemory-policy)",
            ),
        }
    }
}
