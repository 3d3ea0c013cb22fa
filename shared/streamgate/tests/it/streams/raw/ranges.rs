//! Reading without a group: ranges in both directions, pages, outages.

use std::ops::Bound::{Excluded, Included, Unbounded};

use futures_util::TryStreamExt;
use streamgate::connection::ErrorKind;
use streamgate::fields::Fields;
use streamgate::stream::{EntryId, ReadError, RedisStream};
use streamgate::testing::{RedisServer, eventually_async};

use super::{add, fields, id, make_string, stored, stream};

async fn ids(mut entries: streamgate::stream::Entries) -> Vec<EntryId> {
    let mut ids = Vec::new();
    while let Some(entry) = entries.next().await {
        ids.push(entry.expect("read").id);
    }
    ids
}

#[tokio::test]
async fn a_range_gives_every_entry_once_in_both_directions() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let mut all = stream.append_batch((0..5_000).map(fields)).await.expect("stored");

    let entries: Vec<_> = stream.range(EntryId::MIN..).try_collect().await.expect("read");

    assert!(entries.iter().map(|item| item.id).eq(all.iter().copied()));
    assert!(entries.iter().enumerate().all(|(number, item)| item.value == fields(number)));
    all.reverse();
    assert!(ids(stream.rev_range(..)).await == all);
}

#[tokio::test]
async fn a_range_has_the_bounds_that_were_asked_for() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 5);
    let last = EntryId { ms: u64::MAX, seq: u64::MAX };

    for (bounds, expected) in [
        ((Included(id(2)), Included(id(4))), vec![2, 3, 4]),
        ((Excluded(id(2)), Excluded(id(4))), vec![3]),
        ((Excluded(id(2)), Unbounded), vec![3, 4, 5]),
        ((Unbounded, Excluded(id(2))), vec![1]),
        ((Included(id(6)), Unbounded), vec![]),
        ((Included(id(4)), Included(id(2))), vec![]),
        ((Excluded(id(2)), Excluded(id(2).next())), vec![]),
        ((Excluded(last), Unbounded), vec![]),
        ((Unbounded, Excluded(EntryId::MIN)), vec![]),
        ((Included(last), Included(last)), vec![]),
    ] {
        let expected: Vec<EntryId> = expected.into_iter().map(id).collect();
        assert_eq!(ids(stream.range(bounds)).await, expected, "{bounds:?}");
        let reversed: Vec<EntryId> = expected.into_iter().rev().collect();
        assert_eq!(ids(stream.rev_range(bounds)).await, reversed, "{bounds:?}");
    }
    assert_eq!(ids(stream.range(id(2)..=id(3))).await, [id(2), id(3)]);
}

#[tokio::test]
async fn a_range_of_large_entries_is_read_in_small_pages() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let large = |_| Fields::from_iter([("body", vec![b'x'; 600_000])]);
    let all = stream.append_batch((0..40).map(large)).await.expect("stored");
    let _: () = server.command(&["CONFIG", "RESETSTAT"]);

    assert_eq!(ids(stream.range(..)).await, all);

    let stats: String = server.command(&["INFO", "commandstats"]);
    let reads = stats.lines().find_map(|line| line.strip_prefix("cmdstat_xrange:calls="));
    let reads: usize = reads.and_then(|rest| rest.split(',').next()?.parse().ok()).expect("a number");
    assert!(reads > 20, "{reads} reads of 40 entries");
}

#[tokio::test]
async fn a_range_ends_when_it_has_caught_up() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    assert!(stream.range(..).next().await.is_none());
    add(&server, 1);

    let mut entries = stream.range(..);

    assert_eq!(entries.next().await.expect("an entry").expect("read").id, id(1));
    assert!(entries.next().await.is_none());
    let _: String = server.command(&["XADD", super::STREAM, "2-0", "number", "2"]);
    assert!(entries.next().await.is_none(), "it has ended");
}

#[tokio::test]
async fn a_range_goes_on_after_an_outage_without_a_gap() {
    let mut server = RedisServer::start_durable();
    let stream = stream(&server).await;
    let all = stream.append_batch((0..5_000).map(fields)).await.expect("stored");
    let mut entries = stream.range(..);
    let mut read = vec![entries.next().await.expect("an entry").expect("read").id];

    let server = tokio::task::spawn_blocking(move || {
        server.kill();
        server.restart();
        server
    });
    let server = server.await.expect("starts");
    read.extend(ids(entries).await);

    assert!(read == all && stored(&server) == all);
}

#[tokio::test]
async fn a_range_of_no_stream_ends_with_the_error() {
    let server = RedisServer::start();
    make_string(&server);
    let stream = stream(&server).await;

    let mut entries = stream.range(..);

    let error = entries.next().await.expect("an item").expect_err("no stream");
    let ReadError::Redis(cause) = error else { panic!("{error:?}") };
    assert_eq!(cause.kind(), ErrorKind::WrongType);
    assert!(entries.next().await.is_none());
}

#[tokio::test]
async fn an_entry_is_found_by_its_id() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 3);

    let found = stream.get(id(2)).await.expect("reads").expect("is there");

    assert_eq!((found.id, found.fields), (id(2), fields(2)));
    assert_eq!(stream.get(id(4)).await.expect("reads"), None);
}

#[tokio::test]
async fn deleted_entries_are_counted_and_gone() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    add(&server, 3);

    assert_eq!(stream.delete(&[id(1), id(3), id(4)]).await.expect("deleted"), 2);
    assert_eq!(stream.delete(&[]).await.expect("nothing to do"), 0);

    assert_eq!((stored(&server), stream.len().await.expect("a number")), (vec![id(2)], 1));
    assert!(!stream.is_empty().await.expect("a number"));
}

#[tokio::test]
async fn the_state_of_a_stream_is_told() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    assert_eq!(stream.info().await.expect("reads"), None);
    add(&server, 3);
    super::deliver(&server, "a", 1);
    stream.delete(&[id(3)]).await.expect("deleted");

    let info = stream.info().await.expect("reads").expect("is there");

    let ends = [&info.first, &info.last].map(|entry| entry.as_ref().expect("an entry").id);
    assert_eq!((info.length, ends, info.groups), (2, [id(1), id(2)], 1));
    let ids = [info.last_generated_id, info.max_deleted_id];
    assert_eq!((ids, info.entries_added), ([id(3), id(3)], 3));
}

#[tokio::test]
async fn a_reader_that_is_dropped_leaves_nothing_behind() {
    let server = RedisServer::start();
    let stream: RedisStream = stream(&server).await;
    add(&server, 3);
    let mut entries = stream.range(..);
    entries.next().await.expect("an entry").expect("read");

    drop((entries, stream));

    eventually_async("all connections are closed", async || {
        server.command::<String>(&["CLIENT", "LIST"]).lines().count() == 1
    })
    .await;
}
