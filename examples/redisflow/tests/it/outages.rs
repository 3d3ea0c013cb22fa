//! Redis goes away under the parts.

use streamgate::testing::{RedisServer, eventually, eventually_async};

use crate::harness::{Flow, contents, logged, number, numbered, stop, until_logged};

const OUTAGE: &str = "failing; will retry until it works";
const FULL: &str = "Redis is away, and no more is kept: makes no messages until it is back";

#[tokio::test]
async fn a_restart_of_redis_loses_and_disorders_nothing() {
    let mut flow = Flow::on(RedisServer::start_durable()).await;
    let consumer = flow.consumer("c1", "0s");
    let mut producers = ["Producer1", "Producer2"].map(|name| flow.producer(name, "10ms"));
    for _ in 0..2 {
        let sent = [0, 1].map(|at| logged(&producers[at], "sent").len());
        producers.iter().zip(sent).for_each(|(producer, sent)| until_logged(producer, "sent", sent + 10));
        let outages = [0, 1].map(|at| logged(&producers[at], OUTAGE).len());
        flow.server.kill();
        producers
            .iter()
            .zip(outages)
            .for_each(|(producer, outages)| until_logged(producer, OUTAGE, outages + 1));
        flow.server.restart();
    }
    let sent = producers.each_ref().map(|producer| logged(producer, "sent").len());
    producers.iter().zip(sent).for_each(|(producer, sent)| until_logged(producer, "sent", sent + 10));
    for producer in &mut producers {
        assert_eq!(stop(producer), Some(0), "{}", producer.log());
    }
    flow.until_done().await;

    for (name, producer) in ["Producer1", "Producer2"].into_iter().zip(&producers) {
        let numbers = flow.numbers(name).await;
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{name}: all, in order");
        let sent: Vec<u64> = contents(producer, "sent").iter().map(|content| number(content)).collect();
        assert_eq!(sent, numbers, "what {name} was told is what is stored");
        let mut done: Vec<u64> = Vec::new();
        eventually(&format!("all of {name} is done"), || {
            let contents = contents(&consumer, "done");
            done = contents.iter().filter(|content| content.contains(name)).map(|it| number(it)).collect();
            numbers.iter().all(|number| done.contains(number))
        });
    }
}

#[tokio::test]
async fn a_producer_keeps_a_bounded_number_and_sends_in_order() {
    let mut flow = Flow::on(RedisServer::start_durable()).await;
    let mut producer = flow.start(&["producer", "--name", "Producer1", "--every", "10ms", "--keep", "3"]);
    until_logged(&producer, "sent", 2);
    flow.server.kill();
    until_logged(&producer, FULL, 1);

    flow.server.restart();
    let sent = logged(&producer, "sent").len();
    until_logged(&producer, "sent", sent + 10);
    assert_eq!(stop(&mut producer), Some(0));

    let numbers = flow.numbers("Producer1").await;
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_producer_starts_before_redis() {
    let mut flow = Flow::new().await;
    flow.server.kill();
    let mut producer = flow.producer("Producer1", "10ms");
    until_logged(&producer, OUTAGE, 1);

    flow.server.restart();
    until_logged(&producer, "sent", 3);

    assert_eq!(stop(&mut producer), Some(0));
    assert_eq!(flow.numbers("Producer1").await[..3], [1, 2, 3]);
}

#[tokio::test]
async fn a_producer_that_stops_without_redis_says_what_is_lost() {
    let mut flow = Flow::new().await;
    flow.server.kill();
    let settings = ["--every", "10ms", "--keep", "2", "--shutdown-grace", "1s"];
    let mut producer = flow.start(&[&["producer", "--name", "Producer1"], &settings[..]].concat());
    until_logged(&producer, FULL, 1);

    assert_eq!(stop(&mut producer), Some(1));

    let said = producer.log();
    assert!(said.contains("3 messages were made and not sent"), "{said}");
}

#[tokio::test]
async fn a_consumer_survives_that_everything_is_deleted() {
    let flow = Flow::new().await;
    let consumer = flow.consumer("c1", "1ms");
    flow.write(&["before".to_owned()]).await;
    until_logged(&consumer, "done", 1);

    let _: String = flow.server.command(&["FLUSHALL"]);
    flow.write(&["after".to_owned()]).await;
    until_logged(&consumer, "done", 2);

    assert_eq!(contents(&consumer, "done"), ["before", "after"]);
    eventually_async("it is acknowledged", async || flow.pending().await.is_empty()).await;
}

#[tokio::test]
async fn a_consumer_stops_although_redis_is_away() {
    let mut flow = Flow::on(RedisServer::start_durable()).await;
    flow.write(&numbered("held", 3)).await;
    let settings = ["--work", "200ms", "--lease", "800ms", "--shutdown-grace", "4s"];
    let mut consumer = flow.start(&[&["consumer", "--name", "c1"], &settings[..]].concat());
    until_logged(&consumer, "done", 1);
    flow.server.kill();
    until_logged(&consumer, OUTAGE, 1);

    assert_eq!(stop(&mut consumer), Some(0), "{}", consumer.log());

    flow.server.restart();
    let other = flow.consumer("c2", "1ms");
    flow.until_done().await;
    until_logged(&other, "done", 1);
    assert_eq!(contents(&other, "done").last(), Some(&"held 3".to_owned()));
}
