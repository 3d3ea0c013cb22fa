//! Consumers that die with unacknowledged entries.

use streamgate::testing::RedisServer;

use super::{Crashing, LETTERS, holder, idle_for, length, pending, reader, send, take, values};
use crate::harness::LEASE;

#[tokio::test]
async fn a_restarted_consumer_goes_on_in_order() {
    let server = RedisServer::start();
    send(&server, 0..5).await;
    let (crashing, taken) = Crashing::start(reader(&server, "a"), 3).await;
    assert_eq!(taken, [0, 1, 2]);
    crashing.crash();
    send(&server, 5..7).await;
    idle_for(&server, LEASE).await;

    let mut restarted = reader(&server, "a").await.expect("starts");

    assert_eq!(restarted.consumer(), "a");
    let messages = take(&mut restarted, 7).await;
    assert_eq!(values(&messages), [0, 1, 2, 3, 4, 5, 6]);
    restarted.acknowledge_all(messages).await.expect("acknowledged");
    assert_eq!(pending(&server), 0);
}

#[tokio::test]
async fn a_consumer_of_another_name_takes_over() {
    let server = RedisServer::start();
    let ids = send(&server, 0..5).await;
    let (crashing, _) = Crashing::start(reader(&server, "a"), 3).await;
    crashing.crash();

    let mut other = reader(&server, "b").await.expect("starts");

    let messages = take(&mut other, 5).await;
    let mut got = values(&messages);
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3, 4]);
    assert_eq!(holder(&server, ids[0]), Some(("b".to_owned(), 2)));
    other.acknowledge_all(messages).await.expect("acknowledged");
    assert_eq!((pending(&server), length(&server, LETTERS)), (0, 0));
}

#[tokio::test]
async fn two_readers_share_the_entries() {
    let server = RedisServer::start();
    send(&server, 0..100).await;
    let mut first = reader(&server, "a").batch(10).await.expect("starts");
    let mut second = reader(&server, "b").batch(10).await.expect("starts");

    let (of_first, of_second) = tokio::join!(take(&mut first, 50), take(&mut second, 50));

    let mut got = [values(&of_first), values(&of_second)].concat();
    got.sort_unstable();
    assert_eq!(got, (0..100).collect::<Vec<_>>(), "each value once");
}
