//! Connections to Redis (skeleton).
use std::sync::Arc;
use std::time::Duration;

use crate::clock::ServerClock;
use crate::resilience::CircuitBreaker;
use crate::telemetry::Latch;
use crate::telemetry::metrics::ConnectionMetrics;

/// Where Redis is and how long to wait for it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` or `redis+unix://` with optional credentials and database.
    pub url: RedisUrl,
    /// The longest wait for a response.
    pub response_timeout: Duration,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// Added to the server's clock on purpose: for tests of clock skew.
    pub clock_skew_ms: i64,
}

/// A Redis URL whose `Display` and `Debug` never show its password.
#[derive(Clone)]
pub struct RedisUrl(#[allow(dead_code)] String);

impl std::str::FromStr for RedisUrl {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Ok(Self(s.to_owned()))
    }
}

/// Everything a process shares about its Redis server. Clones share everything.
#[derive(Clone)]
pub struct Redis {}

impl Redis {
    /// Prepares a handle; connects in the background and keeps a heartbeat until dropped. `reachable` is set
    /// while the server answers.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn open(
        settings: RedisSettings,
        metrics: ConnectionMetrics,
        reachable: Latch,
    ) -> Result<Self, String> {
        let _ = (settings, metrics, reachable);
        unimplemented!()
    }

    /// The circuit breaker all commands report to.
    pub fn circuit(&self) -> &CircuitBreaker {
        unimplemented!()
    }

    /// The server's clock.
    pub fn clock(&self) -> &Arc<ServerClock> {
        unimplemented!()
    }

    /// The round trip of the last heartbeat, if the server answered it.
    pub fn round_trip(&self) -> Option<Duration> {
        unimplemented!()
    }
}
