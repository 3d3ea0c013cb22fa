//! Appending many entries: order, memory, and what is known after a failure.

use std::cell::Cell;
use std::time::Duration;

use streamgate::connection::ErrorKind;
use streamgate::fields::Fields;
use streamgate::stream::{AppendError, BatchError, Cap, EntryId, RedisStream};
use streamgate::testing::{Link, RedisServer};

use super::{STREAM, connect, fields, make_string, stored, stream};

fn large(number: usize, bytes: usize) -> Fields {
    Fields::from_iter([("number", number.to_string()), ("body", "x".repeat(bytes))])
}

/// The numbers in the entries of the stream, in order.
async fn numbers(stream: &RedisStream) -> Vec<usize> {
    let mut numbers = Vec::new();
    let mut entries = stream.range(EntryId::MIN..);
    while let Some(entry) = entries.next().await {
        let entry = entry.expect("read");
        numbers.push(entry.value.text("number").expect("a number").parse().expect("a number"));
    }
    numbers
}

#[tokio::test]
async fn a_batch_of_100_000_entries_is_stored_in_order() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    let ids = stream.append_batch((0..100_000).map(fields)).await.expect("stored");

    assert!(ids.len() == 100_000 && ids.is_sorted_by(|a, b| a < b));
    assert!(stored(&server) == ids, "the ids are those of the stream");
    assert!(numbers(&stream).await.into_iter().eq(0..100_000), "the entries are in order");
}

#[tokio::test]
async fn a_batch_without_entries_stores_nothing() {
    let server = RedisServer::start();

    let ids = stream(&server).await.append_batch([]).await.expect("nothing to do");

    assert_eq!((ids, stored(&server)), (vec![], vec![]));
}

#[tokio::test]
async fn a_batch_holds_one_chunk_at_a_time() {
    let server = RedisServer::start();
    make_string(&server);
    let stream = stream(&server).await;
    let (taken, taken_large) = (Cell::new(0), Cell::new(0));
    let counted = |number| {
        taken.set(number + 1);
        fields(number)
    };
    let counted_large = |number| {
        taken_large.set(number + 1);
        large(number, 1_000_000)
    };

    stream.append_batch((0..100_000).map(counted)).await.expect_err("no stream");
    stream.append_batch((0..100_000).map(counted_large)).await.expect_err("no stream");

    assert!((1..=129).contains(&taken.get()), "{}", taken.get());
    assert!((1..=5).contains(&taken_large.get()), "{}", taken_large.get());
}

#[tokio::test]
async fn small_and_large_entries_of_a_batch_are_in_order() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let sizes = [10, 3 << 20, 10, 10, 900_000, 900_000, 900_000, 900_000, 900_000, 5 << 20, 2 << 20, 10];

    let entries = sizes.iter().enumerate().map(|(number, bytes)| large(number, *bytes));
    let ids = stream.append_batch(entries).await.expect("stored");

    assert_eq!(stored(&server), ids);
    assert!(numbers(&stream).await.into_iter().eq(0..sizes.len()));
}

#[tokio::test]
async fn batches_one_after_the_other_share_a_connection() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let connections = || {
        let stats: String = server.command(&["INFO", "stats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.expect("INFO has it").parse::<u64>().expect("a number")
    };
    stream.append_batch((0..10).map(fields)).await.expect("stored");
    let before = connections();

    for _ in 0..50 {
        stream.append_batch((0..10).map(fields)).await.expect("stored");
    }

    // The test itself makes one; the heartbeat may make another.
    assert!(connections() - before <= 5, "{} connections", connections() - before);
}

#[tokio::test]
async fn a_capped_batch_keeps_the_newest_entries() {
    let server = RedisServer::start();
    let stream = stream(&server).await;

    let ids = stream.append_batch_capped((0..500).map(fields), Some(Cap::MaxLen(10))).await.expect("stored");

    assert_eq!(stored(&server), ids[490..]);
}

#[tokio::test]
async fn a_refused_batch_says_which_entries_are_stored() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let memory: String = server.command(&["INFO", "memory"]);
    let used = memory.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("INFO has it");
    let limit = used.parse::<u64>().expect("a number") + (4 << 20);
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", &limit.to_string()]);

    let entries = (0..2_000).map(|number| large(number, 10_000));
    let error = stream.append_batch(entries).await.expect_err("no memory");

    let AppendError::Redis(cause) = &error.source else { panic!("{error}") };
    assert_eq!((cause.kind(), error.uncertain.len()), (ErrorKind::RefusesWrites, 0));
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(error.position > 0 && error.position < 2_000, "{error}");
    assert_eq!(error.stored.iter().map(|(_, id)| *id).collect::<Vec<_>>(), stored(&server));
    assert_eq!(error.stored.iter().map(|(at, _)| *at).collect::<Vec<_>>(), numbers(&stream).await);
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_not_sent_again() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let redis = connect(&link.url()).await;
    let stream = RedisStream::new(&redis, STREAM).expect("a name").patience(Duration::from_secs(20));
    // Enough for connections and some chunks, and not for all.
    link.cut_replies_after(20_000);

    let error = stream.append_batch((0..10_000).map(fields)).await.expect_err("cut");
    link.flow();

    let BatchError { position, stored: known, uncertain, source } = error;
    assert!(matches!(source, AppendError::Unconfirmed(_)), "{source}");
    assert_eq!((known.len(), uncertain.clone()), (position, position..position + 128));
    let there = stored(&server);
    assert!(there.len() == known.len() || there.len() == uncertain.end, "{} of {known:?}", there.len());
    assert!(known.iter().map(|(_, id)| id).eq(&there[..known.len()]));
}

#[tokio::test]
async fn a_batch_waits_for_a_server_that_comes_back() {
    let mut server = RedisServer::start();
    let stream = stream(&server).await.patience(Duration::from_secs(20));
    server.kill();
    let batch = tokio::spawn(async move { stream.append_batch((0..300).map(fields)).await });

    let server = tokio::task::spawn_blocking(move || {
        server.restart();
        server
    });

    let server = server.await.expect("starts");
    assert_eq!(batch.await.expect("no panic").expect("stored"), stored(&server));
}

#[tokio::test]
async fn an_entry_without_fields_ends_a_batch_at_its_position() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let entries = (0..300).map(|number| if number == 200 { Fields::default() } else { fields(number) });

    let error = stream.append_batch(entries).await.expect_err("no fields");

    assert!(matches!(error.source, AppendError::NoFields), "{error}");
    assert_eq!((error.position, error.stored.len(), stored(&server).len()), (200, 200, 200));
    assert!(error.to_string().contains("entry 200 of the batch failed; 200 entries are stored"), "{error}");
}
