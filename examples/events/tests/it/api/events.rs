//! Messages, tasks, log lines, custom events and batches, with their effects.

use serde_json::json;

use crate::harness::{Lab, on_both_databases};

on_both_databases![
    every_kind_of_event_takes_effect_once,
    a_task_is_completed_once,
    only_streams_of_the_service_can_be_written,
    a_batch_is_published_as_a_whole_or_not_at_all,
];

async fn every_kind_of_event_takes_effect_once(lab: Lab) {
    let api = lab.api().await;
    let (_member, _tally) = (lab.member("m1"), lab.process("tally", &["consumer"], &[]));

    let message = json!({"senderId": "ada", "receiverId": "grace", "content": "Hello, \u{1f30d}!"});
    let sent = api.post("/api/events/chat", message).await.is(201);
    let task = json!({"title": "Compute", "assignedTo": "ada", "createdBy": "charles", "dueDate": "2027-01-01T00:00:00Z"});
    let task = api.post("/api/events/tasks", task).await.is(201);
    let path = format!("/api/events/tasks/{}/complete", task["task"]["id"].as_str().expect("an id"));
    let done = api.post(&path, json!({"completedBy": "ada", "completionNotes": "done"})).await.is(200);
    for level in ["debug", "info", "warn", "error"] {
        api.post("/api/events/logs", json!({"level": level, "message": "it is late", "metadata": {"n": 1}}))
            .await
            .is(201);
    }
    let custom =
        json!({"streamName": "custom:orders", "eventType": "order.placed", "payload": {"userId": "ada"}});
    api.post("/api/events/custom", custom).await.is(201);
    api.user("ada").await;
    api.processed(9).await;

    assert_eq!(
        (&sent["message"]["roomId"], &sent["message"]["messageId"]),
        (&json!("general"), &sent["messageId"])
    );
    assert_eq!(task["task"]["priority"], "medium");
    assert_eq!(
        (&done["task"]["completedBy"], &done["task"]["dueDate"]),
        (&json!("ada"), &json!("2027-01-01T00:00:00Z"))
    );
    let stats = api.stats().await;
    let effects = json!({"userChanges": 1, "chatMessages": 1, "taskChanges": 2, "logLines": 4});
    assert_eq!(stats["effects"], effects);
    let errors = api.events("eventType=system.error").await;
    assert_eq!((errors.len(), &errors[0]["payload"]["metadata"]), (1, &json!({"n": 1})));
    streamgate::testing::eventually_async("the simple consumer has counted all", async || {
        api.stats().await["tallies"] == json!([{"reader": "tally", "entries": 9}])
    })
    .await;
}

async fn a_task_is_completed_once(lab: Lab) {
    let api = lab.api().await;
    let task = json!({"title": "Compute", "assignedTo": "ada", "createdBy": "charles", "priority": "high"});
    let task = api.post("/api/events/tasks", task).await.is(201);
    let path = format!("/api/events/tasks/{}/complete", task["task"]["id"].as_str().expect("an id"));
    let done = json!({"completedBy": "ada"});

    let (one, other) = tokio::join!(api.post(&path, done.clone()), api.post(&path, done.clone()));

    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    api.post(&path, done.clone()).await.is_problem(409);
    let unknown = format!("/api/events/tasks/{}/complete", events::model::new_id());
    api.post(&unknown, done.clone()).await.is_problem(404);
    api.post("/api/events/tasks/first/complete", done).await.is_problem(404);
    api.post(&path, json!({})).await.is_problem(422);
    for bad in [
        json!({"title": "", "assignedTo": "a", "createdBy": "b"}),
        json!({"title": "t", "assignedTo": "a b", "createdBy": "b"}),
        json!({"title": "t", "assignedTo": "a", "createdBy": "b", "priority": "urgent"}),
        json!({"title": "t", "assignedTo": "a", "createdBy": "b", "dueDate": "tomorrow"}),
        json!({"title": "t", "assignedTo": "a"}),
    ] {
        api.post("/api/events/tasks", bad).await.is_problem(422);
    }
    assert_eq!(api.stats().await["total"], 2);
}

async fn only_streams_of_the_service_can_be_written(lab: Lab) {
    let api = lab.api().await;
    let event = |stream: &str, kind: &str| json!({"streamName": stream, "eventType": kind, "payload": {}});

    for stream in ["user:events", "chat:messages", "task:queue", "system:logs", "custom:a"] {
        api.post("/api/events/custom", event(stream, "thing.happened")).await.is(201);
    }
    for stream in ["custom:", "custom:A", "other", "custom:{a}", "{user:events}:dlq", "custom:a b"] {
        let refused = api.post("/api/events/custom", event(stream, "thing.happened")).await.is_problem(422);
        assert_eq!(refused["errors"][0]["field"], "streamName");
    }
    api.post("/api/events/custom", event("custom:a", "no type")).await.is_problem(422);
    api.post("/api/events/custom", json!({"streamName": "custom:a", "eventType": "x", "payload": 1}))
        .await
        .is_problem(422);
    api.post("/api/events/chat", json!({"senderId": "a", "receiverId": "b", "content": "\u{0}"}))
        .await
        .is_problem(422);
    api.post("/api/events/logs", json!({"level": "fatal", "message": "x"})).await.is_problem(422);
    for number in 1..32 {
        api.post("/api/events/custom", event(&format!("custom:n{number}"), "x")).await.is(201);
    }
    let refused = api.post("/api/events/custom", event("custom:one-more", "x")).await.is_problem(409);
    assert!(refused["detail"].as_str().expect("text").contains("32 custom streams"), "{refused}");
    api.post("/api/events/custom", event("custom:a", "x")).await.is(201);
}

async fn a_batch_is_published_as_a_whole_or_not_at_all(lab: Lab) {
    let api = lab.api().await;
    let event =
        |number: usize| json!({"streamName": "custom:a", "eventType": "x", "payload": {"number": number}});
    let batch = |count: usize| json!({"events": (0..count).map(event).collect::<Vec<_>>()});

    let ids = api.post("/api/events/batch", batch(100)).await.is(201)["messageIds"].clone();
    let mut bad = batch(3);
    bad["events"][1]["streamName"] = json!("elsewhere");
    let refused = api.post("/api/events/batch", bad).await.is_problem(422);
    api.post("/api/events/batch", batch(0)).await.is_problem(422);
    api.post("/api/events/batch", batch(101)).await.is_problem(422);

    assert_eq!(refused["errors"][0]["field"], "events[1].streamName");
    assert_eq!(api.stats().await["total"], 100);
    streamgate::testing::eventually("all are on the stream", || lab.on_stream("custom:a").len() == 100);
    let on_stream: Vec<_> = lab.on_stream("custom:a").into_iter().map(|id| json!(id)).collect();
    assert_eq!(json!(on_stream), ids, "in the order of the batch");
}
