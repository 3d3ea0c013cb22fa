//! Channels of values: writers, readers in a group, replay, Pub/Sub.

mod bad_input;
mod closing;
#[cfg(all(feature = "message-pack", feature = "protobuf"))]
mod codecs;
mod failover;
mod options;
mod outages;
mod pubsub;
mod replaying;
mod settling;
mod writing;

use std::collections::HashMap;
use std::time::Duration;

use streamgate::channel::{Message, Reader, ReaderBuilder, StreamChannel};
use streamgate::stream::{EntryId, Group};
use streamgate::testing::{PATIENCE, RedisServer, eventually_async};

use crate::harness::{LEASE, redis};

const STREAM: &str = "values";
const READERS: &str = "readers";
const LETTERS: &str = "{values}:dlq";

fn channel(server: &RedisServer) -> StreamChannel<u64> {
    StreamChannel::new(&redis(server), STREAM).expect("a name")
}

fn group(consumer: &str) -> Group {
    Group::new(READERS).consumer(consumer).lease(LEASE).block(Duration::from_secs(2))
}

/// A reader called `consumer`, not started yet.
fn reader(server: &RedisServer, consumer: &str) -> ReaderBuilder<u64> {
    channel(server).reader(group(consumer))
}

async fn send(server: &RedisServer, values: impl IntoIterator<Item = u64>) -> Vec<EntryId> {
    let values: Vec<u64> = values.into_iter().collect();
    channel(server).writer().send_batch(&values).await.expect("stored")
}

/// Waits for the next value.
async fn next<T>(reader: &mut Reader<T>) -> Message<T> {
    let item = tokio::time::timeout(PATIENCE, reader.next()).await.expect("a value in time");
    item.expect("no end").expect("a value")
}

/// The next `count` values.
async fn take(reader: &mut Reader<u64>, count: usize) -> Vec<Message<u64>> {
    let mut messages = Vec::new();
    while messages.len() < count {
        messages.push(next(reader).await);
    }
    messages
}

fn values(messages: &[Message<u64>]) -> Vec<u64> {
    messages.iter().map(|message| message.value).collect()
}

/// The number of pending entries of the group.
fn pending(server: &RedisServer) -> u64 {
    let (count, ..): (u64, redis::Value, redis::Value, redis::Value) =
        server.command(&["XPENDING", STREAM, READERS]);
    count
}

/// The consumer that holds a pending entry, and how often the entry was delivered.
fn holder(server: &RedisServer, id: EntryId) -> Option<(String, u64)> {
    let id = id.to_string();
    let pending: Vec<(String, String, u64, u64)> =
        server.command(&["XPENDING", STREAM, READERS, &id, &id, "1"]);
    pending.into_iter().next().map(|(_, consumer, _, deliveries)| (consumer, deliveries))
}

fn length(server: &RedisServer, stream: &str) -> u64 {
    server.command(&["XLEN", stream])
}

/// The names of the group's consumers, and how long each is silent.
fn idle_consumers(server: &RedisServer) -> Vec<(String, Duration)> {
    let consumers: Vec<HashMap<String, redis::Value>> =
        server.command(&["XINFO", "CONSUMERS", STREAM, READERS]);
    let consumers = consumers.into_iter().map(|mut fields| {
        let mut field = |name: &str| fields.remove(name).expect("a field");
        let name = redis::from_redis_value(field("name")).expect("a name");
        let idle_ms = redis::from_redis_value(field("idle")).expect("a number");
        (name, Duration::from_millis(idle_ms))
    });
    consumers.collect()
}

fn consumers(server: &RedisServer) -> Vec<String> {
    idle_consumers(server).into_iter().map(|(name, _)| name).collect()
}

/// Waits until all consumers of the group, which are dead, are silent for longer than `lease`.
async fn idle_for(server: &RedisServer, lease: Duration) {
    eventually_async("the consumers are silent", async || {
        idle_consumers(server).iter().all(|(_, idle)| *idle > lease)
    })
    .await;
}

/// How often the server has run a command.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats: String = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{command}:")));
    let calls = line.and_then(|line| line.split("calls=").nth(1)?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// A consumer in a runtime of its own, which can end without running any more of its code, as after `kill -9`.
struct Crashing(tokio::runtime::Runtime);

impl Crashing {
    /// Starts it; it takes `count` values, and works on them until it crashes.
    async fn start(builder: ReaderBuilder<u64>, count: usize) -> (Self, Vec<u64>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let taking = runtime.spawn(async move {
            let mut reader = builder.await.expect("starts");
            let messages = take(&mut reader, count).await;
            let values = values(&messages);
            std::mem::forget((reader, messages));
            values
        });
        let values = taking.await.expect("takes them");
        (Self(runtime), values)
    }

    fn crash(self) {
        self.0.shutdown_background();
    }
}
