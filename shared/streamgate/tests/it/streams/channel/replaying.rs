//! Replay, and following the live stream after it.

use std::ops::Bound;

use futures_util::StreamExt;
use streamgate::channel::{ReadError, Replay};
use streamgate::connection::ErrorKind;
use streamgate::stream::{EntryId, Item, Tail};
use streamgate::testing::{PATIENCE, RedisServer, eventually_async};

use super::{STREAM, channel, send};

async fn all(mut replay: Replay<u64>) -> Vec<u64> {
    let mut values = Vec::new();
    while let Some(item) = replay.next().await {
        values.push(item.expect("a value").value);
    }
    assert!(replay.next().await.is_none(), "it stays at its end");
    values
}

async fn following(follow: &mut Tail<u64>) -> Item<u64> {
    let item = tokio::time::timeout(PATIENCE, follow.next()).await.expect("in time");
    item.expect("no end").expect("a value")
}

#[tokio::test]
async fn a_replay_has_the_bounds_of_its_range() {
    let server = RedisServer::start();
    let ids = send(&server, 0..500).await;
    let channel = channel(&server);
    let replay = async |range: (Bound<EntryId>, Bound<EntryId>)| {
        all(channel.replay(range).await.expect("reads")).await
    };
    let (included, excluded) = (Bound::Included(ids[100]), Bound::Excluded(ids[100]));
    let to = Bound::Included(ids[400]);

    assert_eq!(all(channel.replay(EntryId::MIN..).await.expect("reads")).await, (0..500).collect::<Vec<_>>());
    assert_eq!(all(channel.replay(..).await.expect("reads")).await.len(), 500);
    assert_eq!(replay((included, to)).await, (100..401).collect::<Vec<_>>());
    assert_eq!(replay((excluded, to)).await, (101..401).collect::<Vec<_>>());
    assert_eq!(all(channel.replay(ids[7]..ids[9]).await.expect("reads")).await, [7, 8]);
    assert!(replay((Bound::Excluded(ids[499]), Bound::Unbounded)).await.is_empty());
    let last = EntryId { ms: u64::MAX, seq: u64::MAX };
    assert!(replay((Bound::Excluded(last), Bound::Unbounded)).await.is_empty());
}

#[tokio::test]
async fn a_replay_of_no_stream_is_empty() {
    let server = RedisServer::start();

    let replay = channel(&server).replay(EntryId::MIN..).await.expect("reads");

    assert!(all(replay).await.is_empty());
}

#[tokio::test]
async fn a_replay_needs_no_group_and_changes_nothing() {
    let server = RedisServer::start();
    send(&server, 0..3).await;

    all(channel(&server).replay(..).await.expect("reads")).await;

    let groups: Vec<redis::Value> = server.command(&["XINFO", "GROUPS", STREAM]);
    assert!(groups.is_empty());
}

#[tokio::test]
async fn an_undecodable_entry_is_an_item_of_a_replay() {
    let server = RedisServer::start();
    send(&server, 0..1).await;
    let poison: String = server.command(&["XADD", STREAM, "*", "body", "no number"]);
    send(&server, 1..2).await;

    let items: Vec<_> = channel(&server).replay(..).await.expect("reads").collect().await;

    assert!(matches!(&items[1], Err(ReadError::Undecodable { id, .. }) if id.to_string() == poison));
    assert_eq!((items.len(), items[2].as_ref().expect("a value").value), (3, 1));
}

#[tokio::test]
async fn a_replay_of_another_type_is_refused() {
    let server = RedisServer::start();
    server.command::<()>(&["SET", STREAM, "text"]);

    let error = channel(&server).replay(..).await.err().expect("no stream");

    assert_eq!(error.kind(), ErrorKind::WrongType);
}

#[tokio::test]
async fn a_replay_goes_on_after_a_restart_of_redis() {
    let mut server = RedisServer::start_durable();
    send(&server, 0..250).await;
    let mut replay = channel(&server).replay(..).await.expect("reads");
    replay.next().await.expect("an entry").expect("a value");
    server.kill();

    let rest = tokio::spawn(all(replay));
    server.restart();

    assert_eq!(rest.await.expect("joins"), (1..250).collect::<Vec<_>>());
}

#[tokio::test]
async fn following_loses_nothing_and_repeats_nothing() {
    // The place where following takes over: before the first value, within a page, at its end, at the end of the
    // stream.
    for taken in [0, 1, 99, 100, 101, 250] {
        let server = RedisServer::start();
        let mut ids = send(&server, 0..250).await;
        let mut replay = channel(&server).replay(..).await.expect("reads");
        for value in 0..taken {
            assert_eq!(replay.next().await.expect("an entry").expect("a value").value, value);
        }
        ids.extend(send(&server, 250..300).await);

        let mut follow = replay.follow();
        let writing = tokio::spawn(async move {
            let ids = send(&server, 300..600).await;
            (ids, server)
        });
        let mut items = Vec::new();
        while items.len() < 600 - taken as usize {
            items.push(following(&mut follow).await);
        }

        let (last, _server) = writing.await.expect("joins");
        ids.extend(last);
        let expected = ids.iter().zip(0..).skip(taken as usize).map(|(id, value)| Item { id: *id, value });
        assert!(items.into_iter().eq(expected), "after {taken}");
    }
}

#[tokio::test]
async fn following_an_empty_stream_begins_with_its_first_entry() {
    let server = RedisServer::start();
    let replay = channel(&server).replay(EntryId::MIN..).await.expect("reads");
    let mut follow = replay.follow();
    let waiting = tokio::spawn(async move { following(&mut follow).await.value });
    eventually_async("it is blocked in Redis", async || {
        server.command::<String>(&["INFO", "clients"]).contains("blocked_clients:1")
    })
    .await;

    send(&server, 4..5).await;

    assert_eq!(waiting.await.expect("joins"), 4);
}

#[tokio::test]
async fn following_goes_on_after_a_restart_of_redis() {
    let mut server = RedisServer::start_durable();
    send(&server, 0..2).await;
    let mut follow = channel(&server).replay(EntryId::MIN..).await.expect("reads").follow();
    assert_eq!(following(&mut follow).await.value, 0);
    server.restart();
    send(&server, 2..4).await;

    for value in 1..4 {
        assert_eq!(following(&mut follow).await.value, value);
    }
}
