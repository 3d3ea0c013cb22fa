//! Defects planted on purpose: a member of the group that breaks one rule, to prove that the
//! checker notices. It lives in the harness; nothing of it is in the product.

use std::time::Duration;

use clap::ValueEnum;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamPendingCountReply, StreamRangeReply, StreamReadReply};
use redis::{FromRedisValue, RedisResult, Value};
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::checker::Invariant;
use crate::cluster::Control;
use crate::history::{Recorder, Writing, WritingKind, now};
use crate::setup::{GROUP, REQUESTS};

/// Which rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Entries are acknowledged before their reply is stored.
    AckBeforeReply,
    /// Two replies have each other's body.
    SwappedReply,
    /// Entries are acknowledged and never answered.
    LostEntry,
    /// Entries are taken from workers that hold them.
    StolenLease,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AckBeforeReply, Self::SwappedReply, Self::LostEntry, Self::StolenLease];

    /// Which invariant must notice.
    pub fn breaks(self) -> Invariant {
        match self {
            Self::AckBeforeReply => Invariant::ReplyBeforeAcknowledgement,
            Self::SwappedReply => Invariant::OwnAnswers,
            Self::LostEntry => Invariant::NothingLost,
            Self::StolenLease => Invariant::LeasesRespected,
        }
    }
}

const ROGUE: &str = "rogue";

/// Breaks its rule until `stop`, then leaves the group.
///
/// # Errors
/// It cannot leave.
pub async fn run(
    plant: Plant,
    control: Control,
    recorder: Recorder,
    stop: CancellationToken,
) -> RedisResult<()> {
    let mut connection = None;
    while !stop.is_cancelled() {
        if connection.is_none() {
            connection = control.connect().await.ok();
        }
        if let Some(open) = &mut connection
            && misbehave(plant, open, &recorder).await.is_err()
        {
            connection = None;
        }
    }
    control.insist(&["XGROUP", "DELCONSUMER", REQUESTS, GROUP, ROGUE]).await
}

async fn misbehave(
    plant: Plant,
    connection: &mut MultiplexedConnection,
    recorder: &Recorder,
) -> RedisResult<()> {
    match plant {
        Plant::AckBeforeReply => {
            for request in read(connection, recorder).await? {
                acknowledge(connection, &request).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
                reply(connection, &request, &request).await?;
            }
        }
        Plant::SwappedReply => {
            let mut requests = read(connection, recorder).await?;
            // It takes two to swap; the last one of a run is answered as it should be.
            for _ in 0..10 {
                if requests.len() == 1 {
                    requests.extend(read(connection, recorder).await?);
                }
            }
            for (request, other) in requests.iter().zip(requests.iter().rev()) {
                reply(connection, request, other).await?;
                acknowledge(connection, request).await?;
            }
        }
        Plant::LostEntry => {
            for request in read(connection, recorder).await? {
                acknowledge(connection, &request).await?;
            }
        }
        Plant::StolenLease => {
            if let Some(request) = steal(connection).await? {
                reply(connection, &request, &request).await?;
                acknowledge(connection, &request).await?;
            }
        }
    }
    Ok(())
}

/// A request the rogue took.
struct Taken {
    entry: String,
    id: String,
    lane: String,
    place: Json,
}

/// Takes new entries as any worker does.
async fn read(connection: &mut MultiplexedConnection, recorder: &Recorder) -> RedisResult<Vec<Taken>> {
    // Polled: other workers wait in line for the next entry, and this one should get some, too.
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut cmd = redis::cmd("XREADGROUP");
    cmd.arg("GROUP").arg(GROUP).arg(ROGUE).arg("COUNT").arg(2).arg("BLOCK").arg(100);
    let answer: Value = cmd.arg("STREAMS").arg(REQUESTS).arg(">").query_async(connection).await?;
    let Ok(reply) = StreamReadReply::from_redis_value(answer) else { return Ok(Vec::new()) };
    let taken: Vec<Taken> = reply.keys.into_iter().flat_map(|key| key.ids).map(taken).collect();
    for request in &taken {
        let (kind, stream, entry) = (WritingKind::Delivered, ROGUE.to_owned(), request.entry.clone());
        let writing = Writing { kind, stream, entry, id: Some(request.id.clone()), at: now() };
        recorder.with(|history| history.writings.push(writing));
    }
    Ok(taken)
}

/// Takes an entry that a worker holds, however young its lease.
async fn steal(connection: &mut MultiplexedConnection) -> RedisResult<Option<Taken>> {
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut cmd = redis::cmd("XPENDING");
    cmd.arg(REQUESTS).arg(GROUP).arg("-").arg("+").arg(10);
    let pending: StreamPendingCountReply = cmd.query_async(connection).await?;
    let Some(victim) = pending.ids.into_iter().next_back().filter(|held| held.consumer != ROGUE) else {
        return Ok(None);
    };
    let mut cmd = redis::cmd("XCLAIM");
    cmd.arg(REQUESTS).arg(GROUP).arg(ROGUE).arg(0).arg(&victim.id);
    let claimed: StreamRangeReply = cmd.query_async(connection).await?;
    Ok(claimed.ids.into_iter().next().map(taken))
}

fn taken(entry: redis::streams::StreamId) -> Taken {
    let field = |name: &str| entry.get::<String>(name).unwrap_or_default();
    let place = serde_json::from_str(&field("body")).unwrap_or_default();
    Taken { id: field("id"), lane: field("reply_to"), place, entry: entry.id.clone() }
}

/// Answers `request` with what `other` asked for.
async fn reply(connection: &mut MultiplexedConnection, request: &Taken, other: &Taken) -> RedisResult<()> {
    let (city, location) = (&other.place["city"], &other.place["location"]);
    let body = json!({ "requestId": other.id, "city": city, "location": location });
    let mut cmd = redis::cmd("XADD");
    cmd.arg(&request.lane).arg("*").arg("id").arg(&request.id).arg("status").arg(200);
    cmd.arg("worker").arg(ROGUE).arg("body").arg(body.to_string());
    cmd.query_async(connection).await
}

async fn acknowledge(connection: &mut MultiplexedConnection, request: &Taken) -> RedisResult<()> {
    redis::cmd("XACK").arg(REQUESTS).arg(GROUP).arg(&request.entry).query_async(connection).await
}
