//! One small command a second: it connects first, keeps the clock's offset, measures the round
//! trip, and is the circuit breaker's probe.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::{Redis, RedisSettings};
use super::exclusive::RespSocket;
use super::memory::Eviction;
use super::{ConnectionMetrics, Error, RetryLog};
use crate::clock::{Clock, SystemClock};
use crate::telemetry::Latch;

/// How often the server is asked while it answers.
const PERIOD: Duration = Duration::from_secs(1);

/// How often it is looked whether the address still leads to the same server: it costs a connection.
const ADDRESS_PERIOD: Duration = Duration::from_secs(10);

/// A sample of the clock is off by up to half its round trip, so one over an unusually slow round
/// trip is left out, but not for longer than this: clocks drift and are set.
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
}

fn spawn(redis: &Redis, reachable: Latch, stop: CancellationToken) {
    let upgrade = redis.downgrade();
    tokio::spawn(async move {
        let mut outage = RetryLog::new("redis");
        let mut sample = None;
        let (mut eviction, mut address) = (Eviction::default(), Address { looked_at: Instant::now() });
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

/// What the clock's offset rests on: a server has a clock of its own, so a sample of one says nothing of the
/// next.
struct Sample {
    server: Option<String>,
    taken: Instant,
    /// The best round trip lately.
    best: Duration,
}

/// Where the address of the server leads. It may come to lead to another one while the old one lives on and
/// no connection to it is cut; other processes, started later or cut, are with the new one then.
struct Address {
    looked_at: Instant,
}

impl Address {
    /// Connects once more, if that is due, and leaves the server if this leads elsewhere.
    async fn watch(&mut self, redis: &Redis) {
        if self.looked_at.elapsed() < ADDRESS_PERIOD {
            return;
        }
        self.looked_at = Instant::now();
        // An address that leads nowhere now says nothing of the connections that there are.
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
        // Seconds and microseconds.
        let (seconds, micros): (u64, u64) =
            redis::from_redis_value_ref(&answer).map_err(|_| Error::unexpected("TIME", &answer))?;
        Ok(seconds * 1_000 + micros / 1_000)
    }
}

async fn beat(redis: &Redis, sample: &mut Option<Sample>) -> Result<Duration, Error> {
    // Connects, so that the round trip is that of the command.
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
