//! Dead letters, from the raw door: what a letter says, replaying and discarding.

use std::time::Duration;

use streamgate::stream::{
    Consumer, ConsumerGroup, DeadLetterFilter, EntryId, Group, GroupMetrics, LeasedEntry, Leases,
    RedisStream, Replay, Source,
};
use streamgate::testing::{RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use super::{GROUP, fields, stream};
use crate::harness::server_time_ms;

/// Reads the next entry as a member of the group, and gives it up.
async fn give_up(stream: &RedisStream, attempt: u32, reason: &str) -> EntryId {
    let settings = Group::new(GROUP).consumer("billing-1").of(stream.key().clone()).expect("valid");
    let metrics = GroupMetrics::declare(&settings);
    let group = ConsumerGroup::new(stream.redis().clone(), settings, metrics);
    let mut consumer = Consumer::new(group.clone(), Leases::new(group.clone()));
    consumer.join(&CancellationToken::new()).await;
    let mut read: Vec<LeasedEntry> = Vec::new();
    eventually_async("the entry is read", async || {
        read.extend(consumer.read(1, Duration::from_secs(1)).await.expect("reads"));
        !read.is_empty()
    })
    .await;
    let moved = group.move_to_dead_letters(&read[0].entry, attempt, reason).await.expect("moved");
    moved.expect("it belonged to the consumer")
}

#[tokio::test]
async fn a_dead_letter_tells_everything_about_its_entry() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let origin = stream.append(fields(7)).await.expect("stored");
    let before = server_time_ms(&server);

    let id = give_up(&stream, 3, "cannot charge\nthe bank refuses\nHTTP 402").await;

    let letter = stream.dead_letters().get(id).await.expect("reads").expect("is there");
    assert_eq!(
        (letter.reason.as_str(), letter.detail.as_str()),
        ("cannot charge", "the bank refuses\nHTTP 402")
    );
    assert_eq!((letter.stream.as_str(), letter.origin_id, letter.attempts), ("orders", Some(origin), 3));
    assert_eq!((letter.group.as_str(), letter.consumer.as_str()), (GROUP, "billing-1"));
    assert_eq!((letter.fields, letter.left_out), (fields(7), 0));
    assert!((before..=server_time_ms(&server)).contains(&letter.id.ms), "it says when it was given up");
    assert_eq!(stream.pending(GROUP).await.expect("reads").count, 0);
}

#[tokio::test]
async fn dead_letters_are_browsed_replayed_and_discarded() {
    let server = RedisServer::start();
    let stream = stream(&server).await;
    let letters = stream.dead_letters();
    let mut given_up = Vec::new();
    for (number, reason) in [(1, "cannot charge\nat all"), (2, "cannot charge")] {
        stream.append(fields(number)).await.expect("stored");
        given_up.push(give_up(&stream, 1, reason).await);
    }

    let page = letters.search(&DeadLetterFilter::default(), None, 10).await.expect("reads");
    assert!(page.letters.iter().map(|letter| letter.id).eq(given_up.iter().rev().copied()));

    let replay = letters.replay(given_up[0], &[]).await.expect("an answer");
    let Replay::Replayed(id) = replay else { panic!("{replay:?}") };
    let again = stream.get(id).await.expect("reads").expect("is there");
    assert_eq!((again.fields.text("number"), again.fields.len()), (Some("1"), 2));

    assert_eq!(letters.discard(&given_up).await.expect("an answer"), [false, true]);
    assert_eq!(letters.count().await.expect("a number"), 0);
}
