//! What each option of a reader does.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::poll_immediate;
use streamgate::stream::{Group, Start};
use streamgate::telemetry::Readiness;
use streamgate::testing::{RedisServer, eventually_async};

use super::{
    Crashing, READERS, calls, channel, consumers, group, holder, idle_for, next, pending, reader, send, take,
    values,
};
use crate::harness::LEASE;
use crate::logs::Logs;

#[tokio::test]
async fn a_new_group_begins_where_it_is_told() {
    let server = RedisServer::start();
    let ids = send(&server, 0..3).await;
    let first = async |name: &str, start: Option<Start>| {
        let group = Group::new(name).lease(LEASE);
        let group = start.map_or(group.clone(), |start| group.start(start));
        let mut reader = channel(&server).reader(group).await.expect("starts");
        if start == Some(Start::End) {
            send(&server, [9]).await;
        }
        next(&mut reader).await.value
    };

    assert_eq!(first("default", None).await, 0);
    assert_eq!(first("beginning", Some(Start::Beginning)).await, 0);
    assert_eq!(first("after", Some(Start::After(ids[1]))).await, 2);
    assert_eq!(first("end", Some(Start::End)).await, 9);
}

#[tokio::test]
async fn an_existing_group_goes_on_where_it_was() {
    let server = RedisServer::start();
    send(&server, 0..3).await;
    let mut first = reader(&server, "a").await.expect("starts");
    next(&mut first).await.acknowledge().await.expect("acknowledged");
    first.close().await;

    let again = channel(&server).reader(group("a").start(Start::End));

    assert_eq!(next(&mut again.await.expect("starts")).await.value, 1);
}

#[tokio::test]
async fn a_consumer_is_called_like_its_host() {
    let server = RedisServer::start();
    let reader = channel(&server).reader(Group::new(READERS)).await.expect("starts");

    let host = nix::unistd::gethostname().expect("a name").to_string_lossy().into_owned();
    assert_eq!(reader.consumer(), host);
    assert_eq!(consumers(&server), [host]);
}

#[tokio::test]
async fn two_live_readers_of_one_name_are_noticed() {
    let server = RedisServer::start();
    let logs = Logs::capture();
    let first = reader(&server, "same").await.expect("starts");

    let second = reader(&server, "same").await.expect("starts");

    assert_eq!(first.consumer(), "same");
    assert!(second.consumer().starts_with("same-"), "{}", second.consumer());
    assert_eq!(logs.with("is alive").len(), 1);
}

#[tokio::test]
async fn a_quiet_reader_blocks_in_redis_and_does_not_end() {
    let server = RedisServer::start();
    let readiness = Readiness::default();
    let block = Duration::from_millis(20);
    let quick = channel(&server).reader(group("a").block(block)).readiness(readiness.latch("reader"));
    let mut quick = quick.await.expect("starts");

    {
        let mut waiting = std::pin::pin!(quick.next());
        let reads = calls(&server, "xreadgroup");
        eventually_async("many reads have found nothing", async || {
            assert!(poll_immediate(&mut waiting).await.is_none(), "it goes on waiting");
            calls(&server, "xreadgroup") > reads + 10
        })
        .await;
    }
    assert!(readiness.is_ready());

    send(&server, [7]).await;
    assert_eq!(next(&mut quick).await.value, 7);
}

#[tokio::test]
async fn a_waiting_reader_is_woken_by_a_write() {
    let server = RedisServer::start();
    let mut reader = reader(&server, "a").await.expect("starts");
    let mut waiting = std::pin::pin!(reader.next());
    eventually_async("the reader is blocked in Redis", async || {
        assert!(poll_immediate(&mut waiting).await.is_none());
        server.command::<String>(&["INFO", "clients"]).contains("blocked_clients:1")
    })
    .await;

    let ids = send(&server, [7]).await;

    let message = waiting.await.expect("no end").expect("a value");
    assert_eq!((message.id, message.value, message.attempt), (ids[0], 7, 1));
}

#[tokio::test]
async fn nothing_is_read_ahead_beyond_the_batch() {
    for (batch, first, tenth) in [(None, 1, 10), (Some(4), 4, 12)] {
        let server = RedisServer::start();
        send(&server, 0..100).await;
        let builder = reader(&server, "a");
        let mut reader = match batch {
            Some(batch) => builder.batch(batch),
            None => builder,
        }
        .await
        .expect("starts");
        // A group that nobody asks for a value gets none.
        assert_eq!(pending(&server), 0);

        let mut messages = vec![next(&mut reader).await];
        assert_eq!(pending(&server), first, "batch {batch:?}");
        messages.extend(take(&mut reader, 9).await);

        assert_eq!(pending(&server), tenth, "batch {batch:?}");
        assert_eq!(values(&messages), (0..10).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn own_pending_entries_come_first_then_idle_then_new_ones() {
    let server = RedisServer::start();
    send(&server, 0..9).await;
    let (other, taken) = Crashing::start(reader(&server, "other"), 2).await;
    assert_eq!(taken, [0, 1]);
    let (own, taken) = Crashing::start(reader(&server, "a").batch(3), 4).await;
    assert_eq!(taken, [2, 3, 4, 5]);
    other.crash();
    own.crash();
    idle_for(&server, LEASE).await;

    let mut restarted = reader(&server, "a").batch(2).await.expect("starts");

    let messages = take(&mut restarted, 9).await;
    assert_eq!(values(&messages), [2, 3, 4, 5, 6, 7, 0, 1, 8]);
    let attempts: Vec<u32> = messages.iter().map(|message| message.attempt).collect();
    assert_eq!(attempts, [2, 2, 2, 2, 2, 2, 2, 2, 1], "the batches of three had brought 6 and 7 as well");
}

#[tokio::test]
async fn without_pending_first_new_entries_come_first() {
    let server = RedisServer::start();
    let ids = send(&server, 0..1).await;
    let (crashing, _) = Crashing::start(reader(&server, "a"), 1).await;
    crashing.crash();
    send(&server, 1..2).await;
    // Long enough for a slow machine to read before the first claim.
    let lease = Duration::from_secs(4);
    idle_for(&server, lease).await;

    let patient = channel(&server).reader(group("a").lease(lease));
    let mut new_first = patient.read_pending_first(false).await.expect("starts");

    assert_eq!(new_first.consumer(), "a");
    assert_eq!(next(&mut new_first).await.value, 1);
    assert_eq!(holder(&server, ids[0]), Some(("a".to_owned(), 1)), "it was left as it was");
}

#[tokio::test]
async fn idle_entries_of_other_consumers_are_claimed() {
    for pending_first in [true, false] {
        let server = RedisServer::start();
        let ids = send(&server, 0..2).await;
        let (crashing, _) = Crashing::start(reader(&server, "a"), 2).await;
        crashing.crash();

        let mut other = reader(&server, "b").read_pending_first(pending_first).await.expect("starts");
        let claimed = take(&mut other, 2).await;

        assert_eq!(values(&claimed), [0, 1]);
        assert_eq!(holder(&server, ids[0]), Some(("b".to_owned(), 2)));
    }
}

#[tokio::test]
async fn auto_acknowledge_follows_the_next_request() {
    let server = RedisServer::start();
    let ids = send(&server, 0..2).await;
    let mut reader = reader(&server, "a").auto_acknowledge().await.expect("starts");

    drop(next(&mut reader).await);
    let signs_of_life = calls(&server, "xreadgroup");
    eventually_async("an acknowledgement would have arrived", async || {
        calls(&server, "xreadgroup") > signs_of_life + 1
    })
    .await;
    assert_eq!(holder(&server, ids[0]), Some(("a".to_owned(), 1)), "its work may still go on");
    let second = next(&mut reader).await;
    eventually_async("the first is acknowledged", async || holder(&server, ids[0]).is_none()).await;

    assert_eq!(holder(&server, ids[1]), Some(("a".to_owned(), 1)));
    drop(second);
    reader.close().await;
    assert_eq!((pending(&server), consumers(&server)), (0, vec![]));
}

#[tokio::test]
async fn a_dropped_reader_acknowledges_what_it_handed_over() {
    let server = RedisServer::start();
    send(&server, 0..2).await;
    let mut reader = reader(&server, "a").auto_acknowledge().await.expect("starts");
    next(&mut reader).await;

    drop(reader);

    eventually_async("it is acknowledged", async || pending(&server) == 0).await;
}

#[tokio::test]
async fn a_decision_wins_over_auto_acknowledge() {
    let server = RedisServer::start();
    send(&server, 0..1).await;
    let mut reader = reader(&server, "a").auto_acknowledge().await.expect("starts");

    next(&mut reader).await.dead_letter("by hand").await.expect("moved");
    reader.close().await;

    assert_eq!(super::length(&server, super::LETTERS), 1);
}

#[tokio::test]
async fn by_default_nothing_is_acknowledged_by_itself() {
    let server = RedisServer::start();
    send(&server, 0..2).await;
    let mut reader = reader(&server, "a").await.expect("starts");

    let messages = take(&mut reader, 2).await;

    reader.close().await;
    assert_eq!(pending(&server), 2);
    drop(messages);
}

#[tokio::test]
async fn a_reader_is_a_stream_of_items() {
    let server = RedisServer::start();
    send(&server, 0..3).await;
    let reader = reader(&server, "a").await.expect("starts");

    let values: Vec<u64> = reader.take(3).map(|item| item.expect("a value").value).collect().await;

    assert_eq!(values, [0, 1, 2]);
}
