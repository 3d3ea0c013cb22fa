//! The tail of one stream and of several.

use std::collections::BTreeMap;
use std::time::Duration;

use streamgate::fields::Fields;
use streamgate::stream::{EntryId, InvalidStreams, Item, ReadError, RedisStream, Start, Tail, TailReader};
use streamgate::testing::{Link, RedisServer, eventually_async};

use super::{add, add_all, add_as, blocked_clients, id};
use crate::harness::redis;

fn number(fields: &Fields) -> usize {
    fields.text("n").and_then(|n| n.parse().ok()).expect("a number")
}

/// The numbers of the next `count` items, which continue those before.
async fn numbers(tail: &mut Tail<Fields>, count: usize) -> Vec<usize> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        numbers.push(number(&next(tail).await.value));
        assert!(!tail.has_started_over(), "at {numbers:?}");
    }
    numbers
}

async fn next(tail: &mut Tail<Fields>) -> Item<Fields> {
    let waiting = tokio::time::timeout(streamgate::testing::PATIENCE, tail.next());
    waiting.await.expect("an item in time").expect("never ends").expect("an item")
}

#[tokio::test]
async fn a_tail_begins_where_it_is_told() {
    let server = RedisServer::start();
    let stream = RedisStream::new(&redis(&server), "s").expect("a name");
    let ids: Vec<EntryId> = add_all(&server, "s", 0..300);

    let mut beginning = stream.tail(Start::Beginning);
    let mut after = stream.tail(Start::After(ids[9]));
    let mut end = stream.tail(Start::End);

    assert_eq!(numbers(&mut beginning, 300).await, (0..300).collect::<Vec<_>>());
    assert_eq!(numbers(&mut after, 290).await, (10..300).collect::<Vec<_>>());
    let mut first = tokio::spawn(async move { number(&next(&mut end).await.value) });
    eventually_async("the tail waits at the end", async || {
        tokio::select! { _ = &mut first => panic!("an old entry"), () = tokio::task::yield_now() => {} }
        blocked_clients(&server) == 1
    })
    .await;
    add(&server, "s", 300);
    assert_eq!(first.await.expect("joins"), 300);
    assert_eq!(numbers(&mut beginning, 1).await, [300]);
}

#[tokio::test]
async fn a_reader_of_one_stream_begins_where_it_is_told() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let ids: Vec<EntryId> = add_all(&server, "s", 0..5);

    for (start, expected) in
        [(Start::Beginning, &ids[..]), (Start::After(ids[2]), &ids[3..]), (Start::End, &[])]
    {
        let key = "s".parse().expect("a name");
        let mut tail =
            TailReader::new(redis.clone(), key, Duration::from_millis(50), "test").starting_at(start);
        tail.start(&Default::default()).await;

        let read: Vec<EntryId> = tail.read().await.expect("reads").iter().map(|entry| entry.id).collect();

        assert_eq!(read, expected, "{start:?}");
        assert!(!tail.has_started_over());
    }
}

#[tokio::test]
async fn several_streams_are_read_in_order_by_one_reader() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let names = ["a", "b", "c"];
    for n in 0..200 {
        for name in names {
            add(&server, name, n);
        }
    }
    let streams = names.map(|name| (RedisStream::new(&redis, name).expect("a name"), Start::Beginning));

    let mut tail = RedisStream::tail_all(streams).expect("three streams");
    let mut read: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for _ in 0..600 {
        let (key, item) = tail.next().await.expect("never ends");
        read.entry(key.to_string()).or_default().push(number(&item.expect("an item").value));
    }
    let waiting = tokio::spawn(async move { tail.next().await });
    eventually_async("one client waits", async || blocked_clients(&server) == 1).await;
    add(&server, "b", 200);

    for name in names {
        assert_eq!(read[name], (0..200).collect::<Vec<_>>(), "{name}");
    }
    let (key, item) = waiting.await.expect("joins").expect("never ends");
    assert_eq!((key.as_str(), number(&item.expect("an item").value)), ("b", 200));
}

#[tokio::test]
async fn a_restart_of_redis_loses_and_repeats_nothing() {
    let mut server = RedisServer::start_durable();
    let stream = RedisStream::new(&redis(&server), "s").expect("a name");
    let mut tail = stream.tail(Start::Beginning);
    add_all(&server, "s", 0..100);
    assert_eq!(numbers(&mut tail, 100).await, (0..100).collect::<Vec<_>>());

    for round in 1..=3 {
        server.kill();
        server.restart();
        add_all(&server, "s", round * 100..round * 100 + 100);

        let expected: Vec<usize> = (round * 100..round * 100 + 100).collect();
        assert_eq!(numbers(&mut tail, 100).await, expected);
    }
}

#[tokio::test]
async fn a_new_primary_is_read_after_the_last_common_entry() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let stream = RedisStream::new(&redis(&link), "s").expect("a name");
    let mut tail = stream.tail(Start::Beginning);
    for ms in 1..=10 {
        add_as(&old, "s", &format!("{ms}-0"), ms as usize);
        if ms <= 8 {
            add_as(&new, "s", &format!("{ms}-0"), ms as usize);
        }
    }
    assert_eq!(numbers(&mut tail, 10).await, (1..=10).collect::<Vec<_>>());

    // The new primary lacks the last two entries, and its own next entry has an id before theirs.
    add_as(&new, "s", "9-5", 95);
    link.point_to(&new);
    link.cut();
    let first = next(&mut tail).await;

    assert_eq!((first.id, number(&first.value)), (EntryId { ms: 9, seq: 5 }, 95));
    assert!(tail.has_started_over(), "it says that entries are gone");
    add_as(&new, "s", "11-0", 11);
    assert_eq!(numbers(&mut tail, 1).await, [11], "it says so once");
}

#[tokio::test]
async fn a_deleted_stream_is_read_from_its_beginning() {
    let server = RedisServer::start();
    let stream = RedisStream::new(&redis(&server), "s").expect("a name");
    let mut tail = stream.tail(Start::Beginning);
    add_all(&server, "s", 1..=3);
    assert_eq!(numbers(&mut tail, 3).await, [1, 2, 3]);

    let _: i64 = server.command(&["DEL", "s"]);
    add_as(&server, "s", "1-1", 11);

    assert_eq!(next(&mut tail).await.id, EntryId { ms: 1, seq: 1 });
    assert!(tail.has_started_over());
}

#[tokio::test]
async fn entries_trimmed_before_a_tail_reads_are_said() {
    let server = RedisServer::start();
    let stream = RedisStream::new(&redis(&server), "s").expect("a name");
    for ms in 1..=20 {
        add_as(&server, "s", &format!("{ms}-0"), ms as usize);
    }
    let _: i64 = server.command(&["XTRIM", "s", "MINID", "15-0"]);

    let mut tail = stream.tail(Start::After(id(5)));

    assert_eq!(next(&mut tail).await.id, id(15));
    assert_eq!(tail.missed(), Some((id(5).next(), EntryId { ms: 14, seq: u64::MAX })));
    assert_eq!(next(&mut tail).await.id, id(16));
    assert_eq!(tail.missed(), None);
}

#[tokio::test]
async fn a_key_of_another_type_stops_no_other_stream() {
    let server = RedisServer::start();
    let redis = redis(&server);
    let _: () = server.command(&["SET", "text", "x"]);
    let streams =
        ["text", "good"].map(|name| (RedisStream::new(&redis, name).expect("a name"), Start::Beginning));
    let mut tail = RedisStream::tail_all(streams).expect("two streams");

    let (key, item) = tail.next().await.expect("never ends");
    assert_eq!(key.as_str(), "text");
    let error = item.expect_err("no stream");
    assert!(matches!(&error, ReadError::Redis(error) if error.to_string().contains("WRONGTYPE")), "{error}");
    add(&server, "good", 1);
    assert_eq!(tail.next().await.expect("never ends").0.as_str(), "good");
    let _: i64 = server.command(&["DEL", "text"]);
    add(&server, "text", 2);
    let (key, item) = tail.next().await.expect("never ends");

    assert_eq!((key.as_str(), number(&item.expect("an item").value)), ("text", 2));
}

#[tokio::test]
async fn streams_that_cannot_be_read_together_are_refused() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let redis = redis(&server);
    let stream = |name| (RedisStream::new(&redis, name).expect("a name"), Start::End);
    let elsewhere = (RedisStream::new(&crate::harness::redis(&other), "b").expect("a name"), Start::End);
    let key = |name: &str| name.parse().expect("a name");
    let refused = |streams: Vec<_>| RedisStream::tail_all(streams).err();

    assert_eq!(refused(vec![]), Some(InvalidStreams::None));
    assert_eq!(refused(vec![stream("a"), stream("a")]), Some(InvalidStreams::Twice(key("a"))));
    assert_eq!(refused(vec![stream("a"), elsewhere]), Some(InvalidStreams::TwoServers(key("b"))));
}
