//! What becomes of a message.

use std::time::Duration;

use streamgate::channel::{ReadError, SettleError};
use streamgate::stream::DeadLetterFilter;
use streamgate::testing::{Link, PATIENCE, RedisServer, eventually_async};

use super::{
    LETTERS, READERS, STREAM, calls, channel, group, holder, length, next, pending, reader, send, take,
    values,
};
use crate::harness::redis;

#[tokio::test]
async fn acknowledgements_in_flight_share_one_command() {
    let server = RedisServer::start();
    send(&server, 0..300).await;
    let mut reader = reader(&server, "a").batch(300).await.expect("starts");
    let messages = take(&mut reader, 300).await;
    let before = calls(&server, "xack");

    let acknowledging = messages.into_iter().map(|message| message.acknowledge());
    let results = futures_util::future::join_all(acknowledging).await;

    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!((pending(&server), calls(&server, "xack") - before), (0, 1));
}

#[tokio::test]
async fn many_messages_are_acknowledged_together() {
    let server = RedisServer::start();
    send(&server, 0..600).await;
    let mut reader = reader(&server, "a").batch(1_000).await.expect("starts");
    let messages = take(&mut reader, 600).await;
    let before = calls(&server, "xack");

    reader.acknowledge_all(messages).await.expect("acknowledged");

    assert_eq!((pending(&server), calls(&server, "xack") - before), (0, 2), "512 ids a command");
}

#[tokio::test]
async fn a_held_message_keeps_its_lease() {
    let server = RedisServer::start();
    let ids = send(&server, 0..2).await;
    let mut owner = reader(&server, "a").await.expect("starts");
    let mut other = reader(&server, "b").await.expect("starts");
    let held = next(&mut owner).await;

    // The other consumer claims several times per lease.
    next(&mut other).await.acknowledge().await.expect("acknowledged");
    let claims = calls(&server, "xautoclaim");
    let mut waiting = std::pin::pin!(other.next());
    eventually_async("others have tried to claim it for some leases", async || {
        assert!(futures_util::future::poll_immediate(&mut waiting).await.is_none());
        calls(&server, "xautoclaim") > claims + 8
    })
    .await;

    assert_eq!(holder(&server, ids[0]), Some(("a".to_owned(), 1)));
    assert!(!held.is_lost());
    held.acknowledge().await.expect("acknowledged");
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn a_dropped_message_is_delivered_again() {
    let server = RedisServer::start();
    let ids = send(&server, 0..1).await;
    let mut reader = reader(&server, "a").await.expect("starts");

    drop(next(&mut reader).await);

    let again = next(&mut reader).await;
    assert_eq!((again.id, again.attempt), (ids[0], 2));
    again.acknowledge().await.expect("acknowledged");
}

#[tokio::test]
async fn a_retry_comes_later_and_to_this_group_only() {
    let server = RedisServer::start();
    let ids = send(&server, 0..2).await;
    let mut other = channel(&server).reader(group("a").consumer("b")).await.expect("starts");
    let mut reader = reader(&server, "a").await.expect("starts");

    next(&mut reader).await.retry_after(Duration::from_secs(3_600)).await.expect("delayed");
    assert_eq!(pending(&server), 0, "nobody can claim it");
    next(&mut reader).await.retry_after(Duration::from_millis(1)).await.expect("delayed");

    let again = next(&mut other).await;
    assert_eq!((again.id, again.value, again.attempt), (ids[1], 1, 2));
    again.acknowledge().await.expect("acknowledged");
    assert_eq!(length(&server, STREAM), 2, "nothing was appended");
}

#[tokio::test]
async fn a_message_given_back_goes_to_any_consumer() {
    let server = RedisServer::start();
    let ids = send(&server, 0..1).await;
    let mut first = reader(&server, "a").await.expect("starts");

    next(&mut first).await.hand_back().await.expect("given back");

    let mut other = reader(&server, "b").await.expect("starts");
    let again = next(&mut other).await;
    assert_eq!((again.id, again.attempt), (ids[0], 1), "the first delivery does not count");
}

#[tokio::test]
async fn a_dead_letter_keeps_the_value_and_the_reason() {
    let server = RedisServer::start();
    let ids = send(&server, 7..8).await;
    let mut reader = reader(&server, "a").await.expect("starts");

    next(&mut reader).await.dead_letter("no such customer").await.expect("moved");

    assert_eq!(pending(&server), 0);
    let every = DeadLetterFilter::default();
    let letters = reader.group().dead_letters().search(&every, None, 10);
    let letter = letters.await.expect("reads").letters.remove(0);
    assert_eq!((letter.origin_id, letter.reason.as_str()), (Some(ids[0]), "no such customer"));
    assert_eq!(letter.fields.get("body"), Some(&b"7"[..]));
}

#[tokio::test]
async fn a_lost_message_cannot_be_acknowledged() {
    let server = RedisServer::start();
    let ids = send(&server, 0..1).await;
    let mut reader = reader(&server, "a").await.expect("starts");
    let message = next(&mut reader).await;

    server.command::<redis::Value>(&["XCLAIM", STREAM, READERS, "thief", "0", &ids[0].to_string()]);
    tokio::time::timeout(PATIENCE, message.lost()).await.expect("it is noticed");

    assert!(message.is_lost());
    let error = message.acknowledge().await.expect_err("another consumer has it");
    assert!(matches!(error, SettleError::Lost { id } if id == ids[0]), "{error}");
    assert!(error.to_string().contains("another consumer has it"), "{error}");
    assert_eq!(holder(&server, ids[0]).map(|(consumer, _)| consumer), Some("thief".to_owned()));
}

#[tokio::test]
async fn only_lost_messages_of_many_are_named() {
    let server = RedisServer::start();
    let ids = send(&server, 0..3).await;
    let mut reader = reader(&server, "a").batch(3).await.expect("starts");
    let messages = take(&mut reader, 3).await;
    server.command::<redis::Value>(&["XCLAIM", STREAM, READERS, "thief", "0", &ids[1].to_string()]);
    tokio::time::timeout(PATIENCE, messages[1].lost()).await.expect("it is noticed");

    let error = reader.acknowledge_all(messages).await.expect_err("one is lost");

    assert_eq!(error.0.iter().map(SettleError::id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(pending(&server), 1);
}

#[tokio::test]
async fn a_pause_longer_than_a_lease_is_noticed_at_settlement() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let ids = send(&server, 0..1).await;
    let mut cut_off = channel_of(&link).reader(group("a")).await.expect("starts");
    let message = next(&mut cut_off).await;
    let mut other = reader(&server, "b").await.expect("starts");
    link.hold();

    let taken = next(&mut other).await;
    let acknowledging = tokio::spawn(message.acknowledge());
    link.flow();

    let error = acknowledging.await.expect("joins").expect_err("another consumer has it");
    assert!(matches!(error, SettleError::Lost { .. }), "{error}");
    assert_eq!(holder(&server, ids[0]), Some(("b".to_owned(), 2)));
    taken.acknowledge().await.expect("acknowledged");
}

#[tokio::test]
async fn an_entry_delivered_too_often_is_a_dead_letter() {
    let server = RedisServer::start();
    let ids = send(&server, 0..1).await;
    let mut reader = reader(&server, "a").max_deliveries(2).await.expect("starts");

    for attempt in [1, 2] {
        let message = next(&mut reader).await;
        assert_eq!((message.id, message.attempt), (ids[0], attempt));
        message.retry_after(Duration::ZERO).await.expect("delayed");
    }
    assert_eq!(length(&server, LETTERS), 0);

    let _waiting = tokio::spawn(async move { reader.next().await.map(drop) });
    eventually_async("it is given up", async || length(&server, LETTERS) == 1).await;
}

#[tokio::test]
async fn a_poison_entry_stops_nobody() {
    let server = RedisServer::start();
    send(&server, [1]).await;
    let poison: String = server.command(&["XADD", STREAM, "*", "body", "no number"]);
    let empty: String = server.command(&["XADD", STREAM, "*", "other", "field"]);
    send(&server, [2]).await;
    let mut reader = reader(&server, "a").batch(10).await.expect("starts");

    let first = next(&mut reader).await;
    let mut errors = Vec::new();
    for _ in 0..2 {
        match reader.next().await {
            Some(Err(ReadError::Undecodable { id, .. })) => errors.push(id.to_string()),
            other => panic!("{other:?}"),
        }
    }
    let second = next(&mut reader).await;

    assert_eq!(errors, [poison, empty]);
    assert_eq!(values(&[first, second]), [1, 2]);
    eventually_async("both are dead letters", async || length(&server, LETTERS) == 2).await;
    assert_eq!(pending(&server), 2, "the two values");
}

fn channel_of(link: &Link) -> streamgate::channel::StreamChannel<u64> {
    streamgate::channel::StreamChannel::new(&redis(link), STREAM).expect("a name")
}
