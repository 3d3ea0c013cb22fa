//! Parts that are killed (SIGKILL).

use streamgate::testing::eventually_async;

use crate::harness::{Flow, GROUP, contents, kill, logged, numbered, until_logged};

#[tokio::test]
async fn a_consumer_restarted_under_its_name_replays_in_order() {
    let flow = Flow::new().await;
    flow.write(&numbered("early", 12)).await;
    let mut killed = flow.consumer("c1", "150ms");
    until_logged(&killed, "done", 6);
    kill(&mut killed);
    let done = contents(&killed, "done").len();
    let held = flow.pending().await.len();
    assert!(held > 0, "it was killed with messages in hand");
    flow.write(&numbered("late", 3)).await;

    let restarted = flow.consumer("c1", "1ms");
    flow.until_done().await;
    until_logged(&restarted, "done", 15 - done);

    // The one in hand may have been acknowledged without a line in the log.
    let replayed = contents(&restarted, "done");
    let expected = [numbered("early", 12), numbered("late", 3)].concat();
    assert_eq!(replayed, expected[expected.len() - replayed.len()..]);
    let attempts = logged(&restarted, "done").iter().map(|line| line["attempt"] == 2).collect::<Vec<_>>();
    let again = attempts.iter().take_while(|again| **again).count();
    assert_eq!(
        (again, attempts[again..].contains(&true)),
        (held, false),
        "first what it held, then the others"
    );
    let consumers = flow.events.stream().consumers(GROUP).await.expect("a group");
    assert_eq!(consumers.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["c1"]);
    assert_eq!(flow.pending().await, []);
}

#[tokio::test]
async fn a_consumer_of_another_name_takes_over() {
    let flow = Flow::new().await;
    flow.write(&numbered("early", 5)).await;
    let mut killed = flow.consumer("c1", "60s");
    eventually_async("it holds all", async || {
        flow.events.stream().pending(GROUP).await.is_ok_and(|pending| pending.count == 5)
    })
    .await;
    kill(&mut killed);
    assert!(flow.pending().await.iter().all(|entry| entry.consumer == "c1"));

    let other = flow.consumer("c2", "1ms");
    flow.write(&numbered("late", 2)).await;
    flow.until_done().await;
    until_logged(&other, "done", 7);

    let done = contents(&other, "done");
    let early = done.iter().filter(|content| content.starts_with("early")).cloned().collect::<Vec<_>>();
    assert_eq!((early, done.len()), (numbered("early", 5), 7));
    assert_eq!(flow.pending().await, []);
}

#[tokio::test]
async fn a_live_consumer_keeps_its_name_and_the_second_says_so() {
    let flow = Flow::new().await;
    let first = flow.consumer("c1", "1ms");
    until_logged(&first, "waiting for messages", 1);

    let second = flow.consumer("c1", "1ms");
    until_logged(&second, "waiting for messages", 1);

    let names = flow.events.stream().consumers(GROUP).await.expect("a group");
    let names: Vec<String> = names.into_iter().map(|consumer| consumer.name).collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("c1")), "{names:?}");
    assert!(second.log().contains("this one takes a name of its own"), "{}", second.log());
}

#[tokio::test]
async fn producers_go_offline_and_come_back() {
    let flow = Flow::new().await;
    let consumer = flow.consumer("c1", "0s");
    let [mut first, mut second] = ["Producer1", "Producer2"].map(|name| flow.producer(name, "20ms"));
    until_logged(&first, "sent", 3);
    kill(&mut first);
    let others = logged(&second, "sent").len();
    until_logged(&second, "sent", others + 3);
    kill(&mut second);
    flow.until_done().await;
    let length = flow.events.stream().len().await.expect("a stream");

    let back = ["Producer1", "Producer2"].map(|name| flow.producer(name, "20ms"));
    back.iter().for_each(|producer| until_logged(producer, "sent", 3));
    back.into_iter().for_each(|mut producer| kill(&mut producer));

    flow.until_done().await;
    let messages = flow.messages().await;
    assert!(messages.len() as u64 >= length + 6);
    until_logged(&consumer, "done", messages.len());
    let written: Vec<String> = messages.into_iter().map(|event| event.message.content).collect();
    assert_eq!(contents(&consumer, "done"), written);
}
