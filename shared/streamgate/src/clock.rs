//! Wall-clock time as the Redis server sees it.
//!
//! Deadlines and entry ids are compared across machines, so all machines use one reference: the server's
//! clock. Each process measures its own offset with `TIME` (see [`crate::connection`]); this module
//! only holds the offset and applies it.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A source of wall-clock time in milliseconds since the Unix epoch.
pub trait Clock: Send + Sync {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> u64;
}

/// This machine's clock, uncorrected.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis() as u64
    }
}

/// The server's clock: this machine's clock plus a measured offset.
#[derive(Debug, Default)]
pub struct ServerClock {
    /// Server minus local, in milliseconds; refreshed by the connection's heartbeat.
    measured_ms: AtomicI64,
    /// False until the first measurement.
    known: AtomicBool,
    /// A fixed error for tests of clock skew.
    skew_ms: i64,
}

impl ServerClock {
    /// A clock that is wrong by `skew_ms` on purpose, for tests of clock skew.
    pub fn with_skew(skew_ms: i64) -> Self {
        Self { skew_ms, ..Self::default() }
    }

    /// Records a measurement: the server's clock showed `server_ms` when the local clock showed
    /// `local_ms` (the middle of the round trip).
    pub fn record(&self, server_ms: u64, local_ms: u64) {
        self.measured_ms.store(server_ms as i64 - local_ms as i64, Ordering::Relaxed);
        self.known.store(true, Ordering::Release);
    }

    /// Waits for the first measurement. Until then this clock shows the time of this machine, which
    /// may be hours off.
    pub async fn known(&self) {
        while !self.known.load(Ordering::Acquire) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Server minus local in milliseconds, as last measured.
    pub fn offset_ms(&self) -> i64 {
        self.measured_ms.load(Ordering::Relaxed)
    }
}

impl Clock for ServerClock {
    fn now_ms(&self) -> u64 {
        SystemClock.now_ms().saturating_add_signed(self.offset_ms() + self.skew_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_clock_follows_its_last_measurement() {
        let clock = ServerClock::default();

        clock.record(10_000, 4_000);

        let ahead = clock.now_ms() - SystemClock.now_ms();
        assert!((5_990..=6_010).contains(&ahead), "{ahead}");
    }

    #[test]
    fn a_configured_skew_is_added() {
        let clock = ServerClock::with_skew(-60_000);

        let behind = SystemClock.now_ms() - clock.now_ms();

        assert!((59_990..=60_010).contains(&behind), "{behind}");
    }
}
