//! Values over Pub/Sub.

use futures_util::future::poll_immediate;
use streamgate::channel::{PubSubChannel, PubSubEvent, PublishError, Subscription};
use streamgate::codec::CodecError;
use streamgate::connection::ErrorKind;
use streamgate::testing::{PATIENCE, RedisServer, eventually_async};

use crate::harness::redis;

fn prices(server: &RedisServer) -> PubSubChannel<u64> {
    PubSubChannel::new(&redis(server), "prices").expect("a name")
}

async fn event(subscription: &mut Subscription<u64>) -> Result<PubSubEvent<u64>, CodecError> {
    tokio::time::timeout(PATIENCE, subscription.next()).await.expect("in time").expect("no end")
}

async fn value(subscription: &mut Subscription<u64>) -> PubSubEvent<u64> {
    event(subscription).await.expect("decodes")
}

#[tokio::test]
async fn every_subscriber_gets_each_value_in_order() {
    let server = RedisServer::start();
    let prices = prices(&server);
    let (mut one, mut two) =
        (prices.subscribe().await.expect("subscribes"), prices.subscribe().await.expect("subscribes"));

    for price in 0..100 {
        assert_eq!(prices.publish(&price).await.expect("sent"), 2, "receivers");
    }

    for price in 0..100 {
        assert_eq!(value(&mut one).await, PubSubEvent::Value(price));
        assert_eq!(value(&mut two).await, PubSubEvent::Value(price));
    }
}

#[tokio::test]
async fn nothing_is_kept_for_a_later_subscriber() {
    let server = RedisServer::start();
    let prices = prices(&server);
    assert_eq!(prices.publish(&1).await.expect("sent"), 0);

    let mut late = prices.subscribe().await.expect("subscribes");
    prices.publish(&2).await.expect("sent");

    assert_eq!(value(&mut late).await, PubSubEvent::Value(2));
}

#[tokio::test]
async fn an_undecodable_message_is_an_error_item() {
    let server = RedisServer::start();
    let prices = prices(&server);
    let mut subscription = prices.subscribe().await.expect("subscribes");

    server.command::<u64>(&["PUBLISH", "prices", "no number"]);
    prices.publish(&2).await.expect("sent");

    let error = event(&mut subscription).await.expect_err("no number");
    assert!(error.to_string().starts_with("json: "), "{error}");
    assert_eq!(value(&mut subscription).await, PubSubEvent::Value(2));
}

#[tokio::test]
async fn a_lost_connection_is_a_gap() {
    let server = RedisServer::start();
    let prices = prices(&server);
    let mut subscription = prices.subscribe().await.expect("subscribes");
    prices.publish(&1).await.expect("sent");
    assert_eq!(value(&mut subscription).await, PubSubEvent::Value(1));

    server.command::<u64>(&["CLIENT", "KILL", "TYPE", "pubsub"]);

    assert_eq!(value(&mut subscription).await, PubSubEvent::Gap);
    eventually_async("it is subscribed again", async || prices.publish(&2).await.expect("sent") == 1).await;
    assert_eq!(value(&mut subscription).await, PubSubEvent::Value(2));
}

#[tokio::test]
async fn a_restart_of_redis_is_one_gap() {
    let mut server = RedisServer::start();
    let prices = prices(&server);
    let mut subscription = prices.subscribe().await.expect("subscribes");
    server.kill();
    server.restart();
    eventually_async("it is subscribed again", async || {
        prices.publish(&2).await.is_ok_and(|receivers| receivers == 1)
    })
    .await;

    assert_eq!(value(&mut subscription).await, PubSubEvent::Gap, "once it is connected again");
    assert_eq!(value(&mut subscription).await, PubSubEvent::Value(2));
}

#[tokio::test]
async fn a_slow_subscriber_misses_values_and_is_told() {
    let server = RedisServer::start();
    let prices = prices(&server);
    let mut slow = prices.subscribe().await.expect("subscribes");
    for price in 0..3_000 {
        prices.publish(&price).await.expect("sent");
    }
    let mut seen = Vec::new();
    while let PubSubEvent::Value(price) = value(&mut slow).await {
        seen.push(price);
    }

    assert!(seen.len() < 3_000 && seen.iter().copied().eq(0..seen.len() as u64), "a gap, and none before");
    eventually_async("later values come again", async || {
        prices.publish(&9_999).await.expect("sent");
        matches!(poll_immediate(slow.next()).await, Some(Some(Ok(PubSubEvent::Value(9_999)))))
    })
    .await;
}

#[tokio::test]
async fn a_dropped_subscription_ends_in_redis() {
    let server = RedisServer::start();
    let prices = prices(&server);

    drop(prices.subscribe().await.expect("subscribes"));

    eventually_async("nobody is subscribed", async || prices.publish(&1).await.expect("sent") == 0).await;
}

#[tokio::test]
async fn a_publisher_without_a_server_fails_with_a_kind() {
    let mut server = RedisServer::start();
    let prices = prices(&server);
    prices.publish(&1).await.expect("sent");
    server.kill();

    let published = prices.publish(&2).await.expect_err("no server");
    let subscribed = prices.subscribe().await.err().expect("no server");

    assert!(matches!(published, PublishError::Redis(error) if error.kind() == ErrorKind::Unreachable));
    assert_eq!(subscribed.kind(), ErrorKind::Unreachable);
}

#[test]
fn a_name_with_a_space_is_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let _inside = runtime.enter();
    let server = RedisServer::start();

    assert!(PubSubChannel::<u64>::new(&redis(&server), "a b").is_err());
}
