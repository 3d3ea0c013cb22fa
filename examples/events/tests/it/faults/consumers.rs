//! Consumers that end at the worst moment.

use serde_json::json;
use streamgate::testing::{Link, eventually, eventually_async};

use crate::harness::{Lab, on_both_databases};

on_both_databases![
    a_consumer_killed_before_its_acknowledgement_acts_once,
    simple_consumers_that_are_killed_count_exactly,
    a_completed_task_waits_for_its_creation,
    two_simple_consumers_of_one_name_do_not_count_twice,
];

/// Delivered and not acknowledged.
fn pending(lab: &Lab, stream: &str, group: &str) -> u64 {
    /// The answer to XPENDING: how many, the first, the last, and whose they are.
    type Summary = (u64, Option<String>, Option<String>, Option<Vec<(String, String)>>);
    lab.redis.command::<Summary>(&["XPENDING", stream, group]).0
}

async fn a_consumer_killed_before_its_acknowledgement_acts_once(lab: Lab) {
    let (api, link) = (lab.api().await, Link::to(&lab.redis));
    let first = lab.member_behind("m1", &link);
    api.post("/api/events/logs", json!({"level": "info", "message": "one"})).await.is(201);
    api.processed(1).await;
    let group = "log-processing-group";
    eventually("the first line is acknowledged", || pending(&lab, "system:logs", group) == 0);

    // The handler waits for the database while the way of the acknowledgement is cut.
    api.post("/api/events/logs", json!({"level": "info", "message": "two"})).await.is(201);
    eventually("the second line is on the stream", || lab.on_stream("system:logs").len() == 2);
    api.processed(2).await;
    let lock = lab.database.lock_events().await;
    let entry = ["XADD", "system:logs", "*", "id", &events::model::new_id(), "eventType", "system.info"];
    let payload = ["payload", r#"{"level":"info","service":"events"}"#, "timestamp", "0"];
    let _: String = lab.redis.command(&[&entry[..], &payload].concat());
    eventually("it is delivered", || pending(&lab, "system:logs", group) == 1);
    link.hold();
    drop(lock);
    api.processed(3).await;
    drop(first);
    // What the link holds must not arrive after all.
    link.cut();
    let unacknowledged = pending(&lab, "system:logs", group);
    let _second = lab.member("m2");
    eventually("it is acknowledged", || pending(&lab, "system:logs", group) == 0);

    assert_eq!(unacknowledged, 1);
    let stats = api.stats().await;
    assert_eq!(
        (&stats["total"], &stats["processed"], &stats["effects"]["logLines"]),
        (&json!(3), &json!(3), &json!(3))
    );
    let row = &api.events("stream=system:logs").await[0];
    assert_eq!(
        (&row["attempts"], &row["consumer"]),
        (&json!(1), &json!("m1")),
        "the second delivery changed nothing"
    );
}

async fn simple_consumers_that_are_killed_count_exactly(lab: Lab) {
    let api = lab.api().await;
    let event = json!({"streamName": "custom:a", "eventType": "x", "payload": {}});
    let batch = json!({"events": vec![event; 100]});
    let counted = async || {
        let stats = api.stats().await;
        stats["tallies"].get(0).map_or(0, |tally| tally["entries"].as_u64().expect("a number"))
    };

    let mut tally = lab.process("tally", &["consumer"], &[]);
    for round in 1..=10 {
        api.post("/api/events/batch", batch.clone()).await.is(201);
        if round % 3 == 0 {
            eventually_async("some are counted", async || counted().await > 0).await;
            drop(tally);
            tally = lab.process("tally", &["consumer"], &[]);
        }
    }
    eventually_async("all are counted", async || counted().await >= 1_000).await;

    assert!(tally.stop(std::time::Duration::from_secs(20)));
    assert_eq!(counted().await, 1_000);
}

async fn a_completed_task_waits_for_its_creation(lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    let event =
        |kind: &str, payload| json!({"streamName": "task:queue", "eventType": kind, "payload": payload});
    let done = event("task.completed", json!({"taskId": "t1", "completedBy": "ada"}));
    let created = event("task.created", json!({"taskId": "t1", "title": "x", "assignedTo": "ada"}));

    api.post("/api/events/custom", done).await.is(201);
    eventually_async("it was tried", async || api.events("").await[0]["attempts"].as_u64() > Some(0)).await;
    api.post("/api/events/custom", created).await.is(201);
    api.processed(2).await;

    let rows = api.events("eventType=task.completed").await;
    assert!(rows[0]["attempts"].as_u64() > Some(1) && rows[0]["error"].is_null(), "{rows:?}");
    assert_eq!(api.stats().await["effects"]["taskChanges"], 2);
}

async fn two_simple_consumers_of_one_name_do_not_count_twice(lab: Lab) {
    let api = lab.api().await;
    let mut readers = [lab.process("one", &["consumer"], &[]), lab.process("two", &["consumer"], &[])];

    for number in 0..50 {
        api.post("/api/events/logs", json!({"level": "info", "message": format!("{number}")})).await.is(201);
    }
    let counted = async || api.stats().await["tallies"] == json!([{"reader": "tally", "entries": 50}]);
    eventually_async("all are counted", counted).await;

    eventually("one of them has ended", || readers.iter_mut().any(|reader| reader.ended().is_some()));
    let ended = usize::from(readers[0].ended().is_none());
    let log = readers[ended].log();
    assert!(log.contains("give this one another --name"), "{log}");
    assert!(counted().await);
}
