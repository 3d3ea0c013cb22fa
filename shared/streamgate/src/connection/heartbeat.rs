//! The heartbeat: one TIME command per second. It makes the first connection, measures the clock's offset and the
//! round trip, and is the circuit breaker's probe.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Redis, RedisSettings};
use super::exclusive::RespSocket;
use super::server_info::Eviction;
use super::{ConnectionMetrics, Error, RetryLog};
use crate::clock::{Clock, SystemClock};
use crate::telemetry::Latch;

/// The period of the heartbeat while the server answers.
const PERIOD: Duration = Duration::from_secs(1);

/// How often the address is checked: does it still lead to the same server? Each check takes a new connection.
const ADDRESS_PERIOD: Duration = Duration::from_secs(10);

/// A sample of the clock is wrong by up to half its round trip, so a sample with an unusually slow round
/// trip is not used. After this time without a sample it is used, because clocks drift and may be set.
const OLDEST_SAMPLE: Duration = Duration::from_secs(10);

impl Redis {
    /// Prepares the handle and starts its heartbeat, which connects in the background and goes on
    /// until the last clone is dropped. `reachable` is set while the server answers.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn open(
        settings: RedisSettings,
        metrics: ConnectionMetrics,
        reachable: Latch,
    ) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let redis = Self::new(settings, metrics, stop.clone().drop_guard())?;
        spawn(&redis, reachable, stop);
        Ok(redis)
    }

    /// One beat before the heartbeat is started: connects and measures the clock.
    pub(super) async fn first_beat(&self) -> Result<(), Error> {
        let round_trip = beat(self, &mut None).await?;
        self.set_round_trip(Some(round_trip));
        Ok(())
    }
}

/// Starts the heartbeat of a handle.
pub(super) fn spawn(redis: &Redis, reachable: Latch, stop: CancellationToken) {
    let upgrade = redis.downgrade();
    tokio::spawn(async move {
        let mut outage = RetryLog::new("redis");
        let mut sample = None;
        let (mut eviction, mut address) = (Eviction::default(), Address { checked_at: Instant::now() });
        loop {
            let Some(redis) = upgrade() else { return };
            let pause = match beat(&redis, &mut sample).await {
                Ok(round_trip) => {
                    outage.healed();
                    redis.set_round_trip(Some(round_trip));
                    redis.metrics().round_trip.set(round_trip.as_secs_f64());
                    eviction.watch(&redis).await;
                    address.watch(&redis).await;
                    PERIOD
                }
                Err(error) => {
                    redis.set_round_trip(None);
                    outage.failed(&error)
                }
            };
            redis.metrics().circuit_state.set(redis.circuit().state().gauge());
            reachable.set(redis.round_trip().is_some());
            drop(redis);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    });
}

/// The last sample of the server's clock. If the server changes, the sample is dropped, because each server has its
/// own clock.
struct Sample {
    server: Option<String>,
    taken: Instant,
    /// The shortest recent round trip.
    best: Duration,
}

/// Checks whether the address still leads to the same server. The address may move to a new server while the old one
/// still runs and keeps its connections; then other processes may already use the new one.
struct Address {
    checked_at: Instant,
}

impl Address {
    /// If a check is due, makes a new connection; if it leads to another server, drops the old connections.
    async fn watch(&mut self, redis: &Redis) {
        if self.checked_at.elapsed() < ADDRESS_PERIOD {
            return;
        }
        self.checked_at = Instant::now();
        // If no connection can be made now, the existing ones may still be good.
        let Ok(socket) = RespSocket::connect(redis.info(), redis.settings().connect_timeout).await else {
            return;
        };
        if let Ok((number, server)) = redis.server().await
            && server.differs_from(socket.peer().server.as_deref())
        {
            redis.discard(number);
        }
    }
}

impl Redis {
    /// Asks the server for its time: Unix milliseconds.
    pub(crate) async fn server_time_ms(&self) -> Result<u64, Error> {
        let answer = self.command(&redis::cmd("TIME")).await?;
        // TIME returns seconds and microseconds.
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value_ref(&answer).map_err(|_| Error::unexpected("TIME", &answer))?;
        Ok(seconds * 1_000 + micros / 1_000)
    }
}

async fn beat(redis: &Redis, sample: &mut Option<Sample>) -> Result<Duration, Error> {
    // Connects first, so that the measured round trip does not include the connection.
    let server = redis.server().await?.1.identity();
    if sample.as_ref().is_some_and(|sample| sample.server != server) {
        *sample = None;
    }
    let (sent, sent_ms) = (Instant::now(), SystemClock.now_ms());
    let server_ms = redis.server_time_ms().await?;
    let round_trip = sent.elapsed();
    let usual = sample.as_ref().is_some_and(|sample| round_trip <= sample.best * 2);
    if usual || sample.as_ref().is_none_or(|sample| sample.taken.elapsed() > OLDEST_SAMPLE) {
        let best = sample.take().filter(|_| usual).map_or(round_trip, |sample| sample.best.min(round_trip));
        *sample = Some(Sample { server, taken: sent, best });
        redis.clock().record(server_ms, sent_ms + round_trip.as_millis() as u64 / 2);
    }
    Ok(round_trip)
}
