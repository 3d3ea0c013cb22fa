//! Trimming: by length, by id, by age in the server's clock, and safely.

use std::time::Duration;

use streamgate::stream::{EntryId, RedisStream, Retention, Trim};
use streamgate::testing::RedisServer;

use super::{GROUP, STREAM, add, deliver, fields, id, stored, stream};
use crate::harness::{redis_skewed, server_time_ms};

const NOTHING: Retention = Retention { entries: 0, age: Duration::ZERO, bytes: 0 };

#[tokio::test]
async fn a_stream_is_trimmed_by_length_and_by_id() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 10);

    assert_eq!(stream.trim(Trim::MaxLen(7)).await.expect("trims"), 3);
    assert_eq!(stream.trim(Trim::MinId(id(6))).await.expect("trims"), 2);
    assert_eq!(stream.trim(Trim::MaxLen(7)).await.expect("trims"), 0);

    assert_eq!(stored(&server), [6, 7, 8, 9, 10].map(id));
}

#[tokio::test]
async fn an_approximate_length_removes_whole_nodes() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    stream.append_batch((0..1_000).map(fields)).await.expect("stored");

    let removed = stream.trim(Trim::MaxLenApprox(250)).await.expect("trims");

    let left = stream.len().await.expect("a number");
    assert!((250..=450).contains(&left) && removed == 1_000 - left, "{removed} removed, {left} left");
}

#[tokio::test]
async fn the_age_is_that_of_the_servers_clock() {
    let server = RedisServer::start();
    let day_ms = 86_400_000;
    let now = server_time_ms(&server);
    let ages = [3 * day_ms, 2 * day_ms, day_ms / 2, 0].map(|age| id(now - age));
    for id in ages {
        let _: String = server.command(&["XADD", STREAM, &id.to_string(), "number", "1"]);
    }

    // This handle takes the server's clock to be ten days ahead.
    let skewed = redis_skewed(&server, 10 * i64::try_from(day_ms).expect("a number"));
    let stream = RedisStream::new(&skewed, STREAM).expect("a name");
    let removed = stream.trim(Trim::OlderThan(Duration::from_millis(day_ms))).await.expect("trims");

    assert_eq!((removed, stored(&server)), (2, ages[2..].to_vec()));
    assert_eq!(stream.trim(Trim::OlderThan(Duration::MAX)).await.expect("trims"), 0);
}

#[tokio::test]
async fn a_safe_trim_spares_unread_and_unacknowledged_entries() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let all = add(&server, 10);
    assert_eq!(stream.trim(Trim::Safe(NOTHING)).await.expect("trims"), 0, "nobody has read them");

    deliver(&server, "a", 6);
    stream.acknowledge(GROUP, &[1, 2, 3, 5].map(id)).await.expect("acknowledged");
    assert_eq!(stream.trim(Trim::Safe(NOTHING)).await.expect("trims"), 3);

    assert_eq!(stored(&server), all[3..]);
}

#[tokio::test]
async fn trimming_no_stream_removes_nothing() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    for trim in [
        Trim::Safe(NOTHING),
        Trim::MaxLen(0),
        Trim::MaxLenApprox(0),
        Trim::MinId(EntryId { ms: u64::MAX, seq: u64::MAX }),
        Trim::OlderThan(Duration::ZERO),
    ] {
        assert_eq!(stream.trim(trim).await.expect("trims"), 0, "{trim:?}");
    }
}
