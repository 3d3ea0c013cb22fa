//! Readers and writers while Redis is away.

use streamgate::channel::ReadError;
use streamgate::telemetry::Readiness;
use streamgate::testing::{PATIENCE, RedisServer, eventually_async};

use super::{STREAM, channel, next, pending, reader, send};
use crate::logs::Logs;

#[tokio::test]
async fn a_reader_survives_a_restart_of_redis() {
    let mut server = RedisServer::start_durable();
    let logs = Logs::capture();
    let readiness = Readiness::default();
    send(&server, 0..1).await;
    let builder = reader(&server, "a").readiness(readiness.latch("reader"));
    let mut reader = builder.await.expect("starts");
    next(&mut reader).await.acknowledge().await.expect("acknowledged");

    let waiting = tokio::spawn(async move { (next(&mut reader).await, reader) });
    eventually_async("it reads", async || readiness.is_ready()).await;
    server.kill();
    eventually_async("the outage is noticed", async || !readiness.is_ready()).await;
    server.restart();
    send(&server, 1..2).await;

    let (message, _reader) = waiting.await.expect("joins");
    assert_eq!((message.value, message.attempt), (1, 1));
    message.acknowledge().await.expect("acknowledged");
    eventually_async("it is ready again", async || readiness.is_ready()).await;
    let shown = logs.shown();
    let of_reader = shown.iter().filter(|line| line.text.contains("part=\"consumer\"")).count();
    assert!(of_reader <= 2, "the outage is logged at its start and its end: {shown:?}");
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_end_of_an_outage() {
    let mut server = RedisServer::start_durable();
    send(&server, 0..1).await;
    // No other consumer claims the entry, however long the restart takes.
    let mut reader = reader(&server, "a").await.expect("starts");
    let message = next(&mut reader).await;
    server.kill();

    let acknowledging = tokio::spawn(message.acknowledge());
    server.restart();

    acknowledging.await.expect("joins").expect("acknowledged");
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn a_reader_starts_while_redis_is_away() {
    let mut server = RedisServer::start_durable();
    let channel = channel(&server);
    let redis_handle = super::group("a");
    send(&server, 0..1).await;
    server.kill();

    let mut reader = channel.reader(redis_handle).await.expect("starts and waits");
    let waiting = tokio::spawn(async move { next(&mut reader).await.value });
    server.restart();

    assert_eq!(waiting.await.expect("joins"), 0);
}

#[tokio::test]
async fn a_reader_creates_a_vanished_group_again() {
    let server = RedisServer::start();
    send(&server, 0..1).await;
    let mut reader = reader(&server, "a").await.expect("starts");
    next(&mut reader).await.acknowledge().await.expect("acknowledged");

    server.command::<()>(&["FLUSHALL"]);
    send(&server, 1..2).await;

    let message = next(&mut reader).await;
    assert_eq!(message.value, 1);
    message.acknowledge().await.expect("acknowledged");
}

#[tokio::test]
async fn a_key_of_another_type_is_an_error_item_not_the_end() {
    let server = RedisServer::start();
    let mut reader = reader(&server, "a").await.expect("starts");
    server.command::<()>(&["DEL", STREAM]);
    server.command::<()>(&["SET", STREAM, "text"]);

    let item = tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("no end");
    assert!(matches!(item, Err(ReadError::Redis(_))), "{item:?}");
    server.command::<()>(&["DEL", STREAM]);
    send(&server, 5..6).await;

    let value = loop {
        match tokio::time::timeout(PATIENCE, reader.next()).await.expect("in time").expect("no end") {
            Ok(message) => break message.value,
            Err(error) => assert!(matches!(error, ReadError::Redis(_)), "{error}"),
        }
    };
    assert_eq!(value, 5);
}
