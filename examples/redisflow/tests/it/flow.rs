//! Producers and consumers that nothing happens to.

use streamgate::testing::eventually_async;

use crate::harness::{Flow, GROUP, STREAM, contents, logged, number, numbered, stop, until_logged};

#[tokio::test]
async fn a_message_travels_as_protobuf_and_is_acknowledged() {
    let flow = Flow::new().await;
    let consumer = flow.consumer("c1", "10ms");
    let mut producer = flow.producer("Producer1", "30s");
    until_logged(&producer, "sent", 1);
    until_logged(&consumer, "done", 1);

    let entries = flow.raw();
    let [(id, fields)] = &entries[..] else { panic!("{entries:?}") };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["content_type", "body"]);
    assert_eq!(fields[0].1, b"application/x-protobuf");
    let message = flow.messages().await.swap_remove(0);
    assert_eq!(message.message.producer, "Producer1");
    assert_eq!(number(&message.message.content), 1);
    let made = message.created_at().expect("a time").strftime("%H:%M:%S").to_string();
    assert_eq!(message.message.content, format!("Message #1 from Producer1 at {made}"));
    let done = logged(&consumer, "done").swap_remove(0);
    assert_eq!((done["entry"].as_str(), done["attempt"].as_u64()), (Some(id.as_str()), Some(1)));
    assert_eq!(flow.pending().await, []);
    assert_eq!(stop(&mut producer), Some(0));
}

#[tokio::test]
async fn what_was_written_without_a_consumer_comes_in_order() {
    let flow = Flow::new().await;
    let written = numbered("early", 40);
    flow.write(&written).await;

    let consumer = flow.consumer("c1", "1ms");
    until_logged(&consumer, "done", 40);

    assert_eq!(contents(&consumer, "done"), written);
    flow.until_done().await;
}

#[tokio::test]
async fn two_producers_at_once_stay_in_order_each() {
    let flow = Flow::new().await;
    let consumer = flow.consumer("c1", "0s");
    let producers = ["Producer1", "Producer2"].map(|name| flow.producer(name, "10ms"));
    producers.iter().for_each(|producer| until_logged(producer, "sent", 25));
    for mut producer in producers {
        assert_eq!(stop(&mut producer), Some(0));
    }
    flow.until_done().await;

    let done = contents(&consumer, "done");
    for name in ["Producer1", "Producer2"] {
        let sent = flow.numbers(name).await;
        let of_producer = done.iter().filter(|content| content.contains(name)).map(|content| number(content));
        assert_eq!(sent, (1..=sent.len() as u64).collect::<Vec<_>>());
        assert_eq!(of_producer.collect::<Vec<_>>(), sent);
    }
}

#[tokio::test]
async fn two_consumers_share_the_messages() {
    let flow = Flow::new().await;
    let consumers = ["c1", "c2"].map(|name| flow.consumer(name, "20ms"));
    consumers.iter().for_each(|consumer| until_logged(consumer, "waiting for messages", 1));
    let written = numbered("shared", 40);
    flow.write(&written).await;
    flow.until_done().await;
    eventually_async("all are logged", async || {
        consumers.iter().map(|consumer| logged(consumer, "done").len()).sum::<usize>() >= 40
    })
    .await;

    let [mut all, others] = consumers.map(|consumer| contents(&consumer, "done"));
    assert!(!all.is_empty() && !others.is_empty());
    all.extend(others);
    all.sort();
    let mut expected = written;
    expected.sort();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_stopping_consumer_finishes_one_and_gives_back_the_rest() {
    let flow = Flow::new().await;
    flow.write(&numbered("given", 5)).await;
    let mut first = flow.consumer("c1", "300ms");
    until_logged(&first, "done", 1);

    assert_eq!(stop(&mut first), Some(0));

    let done = contents(&first, "done");
    assert!((1..5).contains(&done.len()), "{done:?}");
    let second = flow.consumer("c2", "1ms");
    flow.until_done().await;
    until_logged(&second, "done", 5 - done.len());
    let rest: Vec<String> = numbered("given", 5).split_off(done.len());
    assert_eq!(contents(&second, "done"), rest);
    // What was given back does not count as delivered.
    assert!(logged(&second, "done").iter().all(|line| line["attempt"] == 1));
}

#[tokio::test]
async fn poison_becomes_dead_letters_and_stops_nobody() {
    let flow = Flow::new().await;
    let before = flow.write(&numbered("before", 2)).await;
    let add = |fields: &[&str]| -> String { flow.server.command(&[&["XADD", STREAM, "*"], fields].concat()) };
    let undecodable = add(&["content_type", "application/x-protobuf", "body", "not protobuf"]);
    let foreign = add(&["content_type", "application/json", "body", "{}"]);
    let bodiless = add(&["hello", "world"]);
    let nameless = add(&["content_type", "application/x-protobuf", "body", "\u{12}\u{1}x"]);
    flow.write(&numbered("after", 2)).await;

    let consumer = flow.consumer("c1", "1ms");
    flow.until_done().await;
    until_logged(&consumer, "done", 4);

    assert_eq!(contents(&consumer, "done"), [numbered("before", 2), numbered("after", 2)].concat());
    let letters =
        flow.events.stream().dead_letters().search(&Default::default(), None, 10).await.expect("read");
    let reason = |id: &str| {
        let letter =
            letters.letters.iter().find(|letter| letter.origin_id.is_some_and(|it| it.to_string() == id));
        letter.unwrap_or_else(|| panic!("{id} in {letters:?}")).reason.clone()
    };
    assert_eq!(letters.letters.len(), 4, "{before:?} are done: {letters:?}");
    for (id, part) in [
        (undecodable, "cannot be decoded: protobuf"),
        (foreign, "the content type is `application/json`"),
        (bodiless, "field `body` is missing"),
        (nameless, "the producer must have 1 to 100 characters"),
    ] {
        assert!(reason(&id).contains(part), "{id}: {}", reason(&id));
    }
    assert_eq!(flow.events.stream().groups().await.expect("groups")[0].name, GROUP);
}
