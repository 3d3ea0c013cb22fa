//! Producers, readers and groups without requests and replies.

use std::time::Duration;

use streamgate::codec::Json;
use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{
    EntryId, GroupMetrics, GroupSettings, RedisStream, StreamHealth, StreamKey, TailReader,
};
use streamgate::testing::{RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use crate::counts::Counts;
use crate::harness::redis;

fn key() -> StreamKey {
    "measurements".parse().expect("a name")
}

async fn append(redis: &Redis, body: &str) -> EntryId {
    let fields = Fields::from_iter([("content_type", "application/json"), ("body", body)]);
    RedisStream::of(redis, key()).append(fields).await.expect("stored")
}

async fn tail(redis: &Redis) -> TailReader {
    let mut tail = TailReader::new(redis.clone(), key(), Duration::from_secs(2), "test");
    tail.start(&CancellationToken::new()).await;
    tail
}

#[tokio::test]
async fn a_typed_value_is_sent_and_read() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let mut tail = tail(&redis).await;

    let id = append(&redis, "[1,2,3]").await;

    let entries = tail.read().await.expect("reads");
    assert_eq!((entries.len(), entries[0].id), (1, id));
    assert_eq!(entries[0].decode::<Vec<u32>>(&Json).expect("the value"), [1, 2, 3]);
    let health = StreamHealth::read(&redis, &key()).await.expect("reads").expect("is there");
    assert_eq!((health.length, health.last.map(|entry| entry.id)), (1, Some(id)));
}

#[tokio::test]
async fn names_of_groups_and_consumers_may_be_any_bytes() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let id = append(&redis, "1").await;
    let (group, consumer) = (&b"g\xff"[..], &b"c\xff"[..]);
    let mut create = redis::cmd("XGROUP");
    server.run::<()>(create.arg("CREATE").arg(key().as_str()).arg(group).arg("0"));
    let mut read = redis::cmd("XREADGROUP");
    read.arg("GROUP").arg(group).arg(consumer).arg("STREAMS").arg(key().as_str()).arg(">");
    server.run::<redis::Value>(&read);

    let health = StreamHealth::read(&redis, &key()).await.expect("reads").expect("is there");

    let group = &health.groups[0];
    assert_eq!((group.name.as_str(), group.pending, group.last_delivered), ("g\u{fffd}", 1, id));
    assert_eq!((group.consumers[0].name.as_str(), group.consumers[0].pending), ("c\u{fffd}", 1));
}

#[tokio::test]
async fn a_tail_reads_all_entries_since_its_start_in_order() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let stream = RedisStream::of(&redis, key());
    append(&redis, "0").await;
    let mut tail = tail(&redis).await;

    let mut sent: Vec<EntryId> = futures_util::future::join_all((1..500).map(|n| {
        let fields = Fields::from_iter([("body", n.to_string())]);
        async { stream.append(fields).await.expect("stored") }
    }))
    .await;

    // The writer may store them in any order.
    sent.sort_unstable();
    let mut seen = Vec::new();
    eventually_async("all entries are read", async || {
        seen.extend(tail.read().await.expect("reads").iter().map(|entry| entry.id));
        seen.len() == sent.len()
    })
    .await;
    assert!(seen == sent, "{} entries, but not those that were sent in their order", seen.len());
}

#[test]
fn two_groups_in_one_process_have_separate_series() {
    let counts = Counts::default();
    let of = |stream: &str, group: &str| {
        let settings = GroupSettings::new(stream.parse().expect("a name"), group, "w");
        counts.declare(|| GroupMetrics::declare(&settings))
    };
    let (one, other, elsewhere) = (of("a", "x"), of("a", "y"), of("b", "x"));

    one.claims.increment(1);
    other.claims.increment(20);
    elsewhere.claims.increment(300);

    let scrape = counts.scrape();
    for line in
        [r#"{stream="a",group="x"} 1"#, r#"{stream="a",group="y"} 20"#, r#"{stream="b",group="x"} 300"#]
    {
        assert!(scrape.contains(&format!("streamgate_claims_total{line}\n")), "{line} in {scrape}");
    }
}
