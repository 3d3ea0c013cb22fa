//! Warns if no worker trims the request stream.

use std::time::Duration;

use metrics::Gauge;

use crate::clock::Clock;
use crate::connection::{Redis, RetryLog};
use crate::stream::{StreamHealth, StreamKey};

/// No useful retention keeps finished requests for longer.
const LONG: Duration = Duration::from_secs(24 * 3_600);

/// No useful retention keeps more finished requests.
const MANY: u64 = 1_000_000;

/// No useful retention keeps more bytes of finished requests.
const LARGE: u64 = 1 << 30;

/// How often the stream is checked.
const PERIOD: Duration = Duration::from_secs(60);

/// Updates the gauge, and logs one warning each time finished requests begin to pile up.
pub(super) async fn watch(redis: Redis, requests: StreamKey, gauge: Gauge) {
    let (mut outage, mut warned) = (RetryLog::new("view of the request stream"), false);
    loop {
        match StreamHealth::read(&redis, &requests).await {
            Ok(health) => {
                outage.healed();
                let untrimmed = health.is_some_and(|health| is_untrimmed(&health, redis.clock().now_ms()));
                gauge.set(f64::from(u8::from(untrimmed)));
                if untrimmed && !warned {
                    tracing::warn!(
                        stream = %requests,
                        "finished requests pile up on the stream: no worker trims it, and Redis will run out of memory"
                    );
                }
                warned = untrimmed;
            }
            Err(error) => {
                outage.failed(&error);
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// True if the oldest entry is finished, and the stream is older, longer or larger than any useful retention allows.
fn is_untrimmed(health: &StreamHealth, now_ms: u64) -> bool {
    let age = health.first.as_ref().map_or(0, |first| now_ms.saturating_sub(first.id.ms));
    let too_much = age > LONG.as_millis() as u64 || health.length > MANY || health.bytes > LARGE;
    health.first_is_finished && too_much
}
