//! The end of a reader.

use streamgate::testing::{RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use super::{consumers, holder, next, pending, reader, send, take, values};

#[tokio::test]
async fn a_closed_reader_hands_back_what_it_did_not_hand_over() {
    let server = RedisServer::start();
    let ids = send(&server, 0..10).await;
    let mut first = reader(&server, "a").batch(10).await.expect("starts");
    next(&mut first).await.acknowledge().await.expect("acknowledged");
    assert_eq!(pending(&server), 9);

    first.close().await;

    // The lease has not ended; what was handed back is claimed at once, and no delivery was counted.
    let mut second = reader(&server, "b").batch(10).await.expect("starts");
    let messages = take(&mut second, 9).await;
    assert_eq!(values(&messages), (1..10).collect::<Vec<_>>());
    assert_eq!(holder(&server, ids[1]), Some(("b".to_owned(), 1)));
}

#[tokio::test]
async fn a_closed_reader_leaves_the_group() {
    let server = RedisServer::start();
    send(&server, 0..1).await;
    let mut closed = reader(&server, "a").await.expect("starts");
    next(&mut closed).await.acknowledge().await.expect("acknowledged");

    closed.close().await;

    assert!(consumers(&server).is_empty());
    let again = reader(&server, "a").await.expect("starts");
    assert_eq!(again.consumer(), "a", "its name is free");
}

#[tokio::test]
async fn a_dropped_reader_does_the_same_in_the_background() {
    let server = RedisServer::start();
    let ids = send(&server, 0..5).await;
    let mut dropped = reader(&server, "a").batch(5).await.expect("starts");
    next(&mut dropped).await.acknowledge().await.expect("acknowledged");

    drop(dropped);

    let mut second = reader(&server, "b").batch(5).await.expect("starts");
    assert_eq!(values(&take(&mut second, 4).await), [1, 2, 3, 4]);
    assert_eq!(holder(&server, ids[1]), Some(("b".to_owned(), 1)));
}

#[tokio::test]
async fn a_dropped_reader_without_entries_leaves_the_group() {
    let server = RedisServer::start();

    drop(reader(&server, "a").await.expect("starts"));

    eventually_async("it has left", async || consumers(&server).is_empty()).await;
}

#[tokio::test]
async fn a_message_can_be_settled_after_its_reader_closed() {
    let server = RedisServer::start();
    send(&server, 0..1).await;
    let mut closed = reader(&server, "a").await.expect("starts");
    let message = next(&mut closed).await;

    closed.close().await;
    assert_eq!((pending(&server), consumers(&server)), (1, vec!["a".to_owned()]));
    message.acknowledge().await.expect("acknowledged");

    assert_eq!(pending(&server), 0);
    eventually_async("it leaves after its last message", async || consumers(&server).is_empty()).await;
}

#[tokio::test]
async fn a_stop_token_ends_a_waiting_reader() {
    let server = RedisServer::start();
    let stop = CancellationToken::new();
    let mut stopped = reader(&server, "a").stop(&stop).await.expect("starts");
    let waiting = tokio::spawn(async move {
        let end = stopped.next().await.map(drop);
        (end, stopped.next().await.map(drop))
    });
    eventually_async("the reader is blocked in Redis", async || {
        server.command::<String>(&["INFO", "clients"]).contains("blocked_clients:1")
    })
    .await;

    stop.cancel();

    assert_eq!(waiting.await.expect("joins"), (None, None), "an ended reader stays ended");
    eventually_async("it has left", async || consumers(&server).is_empty()).await;
}

#[tokio::test]
async fn a_dropped_reader_stops_nothing_else() {
    let server = RedisServer::start();
    let stop = CancellationToken::new();

    drop(reader(&server, "a").stop(&stop).await.expect("starts"));

    assert!(!stop.is_cancelled());
}

#[tokio::test]
async fn an_abandoned_wait_loses_no_value() {
    let server = RedisServer::start();
    let mut reader = reader(&server, "a").await.expect("starts");
    assert!(futures_util::future::poll_immediate(reader.next()).await.is_none());

    send(&server, 0..3).await;
    eventually_async("the read that was asked for ends", async || pending(&server) == 1).await;

    let messages = take(&mut reader, 3).await;
    assert_eq!(values(&messages), [0, 1, 2]);
    assert!(messages.iter().all(|message| message.attempt == 1));
}
