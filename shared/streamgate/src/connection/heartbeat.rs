//! One small command a second: it connects first, keeps the clock's offset, measures the round
//! trip, and is the circuit breaker's probe.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Error, Outage, Redis};
use crate::clock::{Clock, SystemClock};
use crate::telemetry::Latch;

/// How often the server is asked while it answers.
const PERIOD: Duration = Duration::from_secs(1);

/// A measurement of the clock over a slower round trip than this could be off by as much, so it
/// is not taken once there is a better one.
const SLOW_ROUND_TRIP: Duration = Duration::from_millis(20);

pub(super) fn spawn(redis: &Redis, reachable: Latch, stop: CancellationToken) {
    let upgrade = redis.downgrade();
    tokio::spawn(async move {
        let mut outage = Outage::new("redis");
        let mut measured = false;
        loop {
            let Some(redis) = upgrade() else { return };
            let pause = match beat(&redis, &mut measured).await {
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

async fn beat(redis: &Redis, measured: &mut bool) -> Result<Duration, Error> {
    let (sent, sent_ms) = (Instant::now(), SystemClock.now_ms());
    let answer = redis.command(&redis::cmd("TIME")).await?;
    let round_trip = sent.elapsed();
    let server_ms = server_time_ms(&answer).ok_or_else(|| Error::unexpected("TIME", &answer))?;
    if !*measured || round_trip < SLOW_ROUND_TRIP {
        *measured = true;
        redis.clock().record(server_ms, sent_ms + round_trip.as_millis() as u64 / 2);
    }
    Ok(round_trip)
}

/// `TIME` answers with seconds and microseconds.
fn server_time_ms(answer: &Value) -> Option<u64> {
    let (seconds, micros): (u64, u64) = redis::from_redis_value_ref(answer).ok()?;
    Some(seconds * 1_000 + micros / 1_000)
}
