//! The upkeep of a reply lane by the process that reads it.

use std::time::Duration;

use redis::{Pipeline, Value};
use tokio_util::sync::CancellationToken;

use crate::connection::{Error, Outage, Redis, checked};
use crate::stream::{EntryId, StreamKey};

/// How long a lane outlives its last sign of use, at least: long enough to look at it.
const SHORTEST_TTL: Duration = Duration::from_secs(600);

/// A lane this short is left alone whatever the age of its entries, so that people can read it.
const READABLE: i64 = 1_000;

/// How often a lane is looked after.
const PERIOD: Duration = Duration::from_secs(5);

/// How long a lane is kept once nobody uses it: at least twice the longest deadline.
pub(super) fn ttl(longest_timeout: Duration) -> Duration {
    (longest_timeout * 2).max(SHORTEST_TTL)
}

/// Keeps the lane while its reader lives and cuts replies nobody can be waiting for. The responder
/// gives every lane a time to live, so a lane whose reader is gone goes by itself.
pub(super) async fn keep(redis: Redis, lane: StreamKey, longest_timeout: Duration, stop: CancellationToken) {
    let mut outage = Outage::new("reply lane");
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match tend(&redis, &lane, longest_timeout).await {
            Ok(()) => outage.healed(),
            Err(error) => {
                outage.failed(&error);
            }
        }
    }
}

async fn tend(redis: &Redis, lane: &StreamKey, longest_timeout: Duration) -> Result<(), Error> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.cmd("EXPIRE").arg(lane.as_str()).arg(ttl(longest_timeout).as_secs());
    pipeline.cmd("XLEN").arg(lane.as_str());
    let mut answers = redis.pipeline(&pipeline).await?.into_iter();
    answers.next().map(checked).transpose()?;
    if let Some(Value::Int(length)) = answers.next().map(checked).transpose()?
        && length > READABLE
    {
        // By age, never by count: several replicas may read one lane at their own pace. The server is
        // asked for the time, so that a wrong clock here cuts nothing that somebody waits for.
        let age = (longest_timeout + PERIOD).as_millis() as u64;
        let cut = EntryId { ms: redis.server_time_ms().await?.saturating_sub(age), seq: 0 };
        let mut trim = redis::cmd("XTRIM");
        trim.arg(lane.as_str()).arg("MINID").arg("~").arg(cut.to_string());
        redis.command(&trim).await?;
    }
    Ok(())
}
