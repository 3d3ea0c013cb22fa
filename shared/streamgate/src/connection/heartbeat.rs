//! One small command a second: it connects first, keeps the clock's offset, measures the round
//! trip, and is the circuit breaker's probe.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::{Redis, RedisSettings};
use super::{Error, Outage};
use crate::clock::{Clock, SystemClock};
use crate::telemetry::Latch;
use crate::telemetry::metrics::ConnectionMetrics;

/// How often the server is asked while it answers.
const PERIOD: Duration = Duration::from_secs(1);

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
        let mut outage = Outage::new("redis");
        let mut sample = None;
        loop {
            let Some(redis) = upgrade() else { return };
            let pause = match beat(&redis, &mut sample).await {
                Ok(round_trip) => {
                    outage.healed();
                    redis.set_round_trip(Some(round_trip));
                    redis.metrics().round_trip.set(round_trip.as_secs_f64());
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

/// When the sample in force was taken, and the best round trip lately.
type Sample = Option<(Instant, Duration)>;

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

async fn beat(redis: &Redis, sample: &mut Sample) -> Result<Duration, Error> {
    let (sent, sent_ms) = (Instant::now(), SystemClock.now_ms());
    let server_ms = redis.server_time_ms().await?;
    let round_trip = sent.elapsed();
    let usual = sample.is_some_and(|(_, best)| round_trip <= best * 2);
    if usual || sample.is_none_or(|(at, _)| at.elapsed() > OLDEST_SAMPLE) {
        let best = sample.filter(|_| usual).map_or(round_trip, |(_, best)| best.min(round_trip));
        *sample = Some((sent, best));
        redis.clock().record(server_ms, sent_ms + round_trip.as_millis() as u64 / 2);
    }
    Ok(round_trip)
}
