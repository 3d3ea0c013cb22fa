//! The audit trail.

use serde_json::{Value, json};
use streamgate::testing::eventually_async;

use crate::harness::{Lab, on_both_databases};

on_both_databases![
    the_history_of_a_deleted_user_stays,
    events_are_found_by_type_stream_and_state,
    failed_events_are_tried_again_and_then_dead_letters,
    an_entry_that_is_no_event_stops_nobody,
];

async fn the_history_of_a_deleted_user_stays(lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    let id = api.user("ada").await;
    api.put(&format!("/api/users/{id}"), json!({"status": "inactive"})).await.is(200);
    api.delete(&format!("/api/users/{id}")).await.is(200);
    api.processed(3).await;

    let history = api.get(&format!("/api/users/{id}/events")).await.is(200);
    let second = api.get(&format!("/api/users/{id}/events?limit=1&offset=1")).await.is(200);

    assert_eq!((&history["user"], &history["total"]), (&Value::Null, &json!(3)));
    let all = history["events"].as_array().expect("a list");
    assert!(
        all.iter().all(|event| event["processed"] == true && event["userId"] == id.as_str()),
        "{history}"
    );
    assert_eq!(second["events"], json!([all[1]]));
    assert_eq!(second["total"], 3);
    api.get(&format!("/api/users/{}/events", events::model::new_id())).await.is_problem(404);
    // The name is free again.
    api.user("ada").await;
}

async fn events_are_found_by_type_stream_and_state(lab: Lab) {
    let api = lab.api().await;
    api.user("ada").await;
    for _ in 0..3 {
        api.post("/api/events/logs", json!({"level": "info", "message": "x"})).await.is(201);
    }
    let total =
        async |query: &str| api.get(&format!("/api/events/processed?{query}")).await.is(200)["total"].clone();

    assert_eq!(total("").await, 4);
    assert_eq!(
        (total("stream=system:logs").await, total("eventType=user.created").await),
        (json!(3), json!(1))
    );
    assert_eq!(
        (total("processed=true").await, total("processed=false&stream=system:logs").await),
        (json!(0), json!(3))
    );
    let page = api.get("/api/events/processed?limit=2&offset=3").await.is(200);
    assert_eq!((page["events"].as_array().expect("a list").len(), &page["total"]), (1, &json!(4)));
    assert_eq!(page["events"][0]["eventType"], "user.created", "the oldest is last");
    for bad in ["stream=elsewhere", "eventType=a%20b", "limit=201", "eventType=%00"] {
        api.get(&format!("/api/events/processed?{bad}")).await.is_problem(422);
    }
    for bad in ["processed=maybe", "limit=-1", "offset=x", "sort=up"] {
        api.get(&format!("/api/events/processed?{bad}")).await.is_problem(400);
    }
    let _member = lab.member("m1");
    api.processed(4).await;
    let stats = api.stats().await;
    assert_eq!(
        stats["byType"][0],
        json!({"eventType": "system.info", "total": 3, "processed": 3, "pending": 0, "errors": 0})
    );
    assert_eq!(
        stats["byStream"][1],
        json!({"stream": "user:events", "total": 1, "processed": 1, "pending": 0, "errors": 0})
    );
    let info = api.get("/api/events/info").await.is(200);
    assert_eq!(
        info["streams"][3],
        json!({"name": "system:logs", "group": "log-processing-group", "eventTypes": ["system.error", "system.info"]})
    );
}

async fn failed_events_are_tried_again_and_then_dead_letters(lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    let unknown = json!({"taskId": "nowhere", "completedBy": "ada"});
    let event = json!({"streamName": "task:queue", "eventType": "task.completed", "payload": unknown});

    let failed = api.post("/api/events/custom", event).await.is(201);
    let malformed = json!({"streamName": "user:events", "eventType": "user.created", "payload": {}});
    let malformed = api.post("/api/events/custom", malformed).await.is(201);
    eventually_async("both are dead letters", async || {
        api.events("processed=false").await.iter().filter(|event| event["deadLetteredAt"].is_string()).count()
            == 2
    })
    .await;

    let events = api.events("processed=false").await;
    let of = |id: &Value| events.iter().find(|event| event["id"] == *id).expect("there");
    let (failed, malformed) = (of(&failed["messageId"]), of(&malformed["messageId"]));
    assert_eq!((&failed["attempts"], &failed["consumer"]), (&json!(5), &json!("m1")));
    assert!(failed["error"].as_str().expect("text").contains("failed 5 times"), "{failed}");
    assert_eq!(malformed["attempts"], 1, "what cannot work is not tried again");
    assert!(malformed["error"].as_str().expect("text").contains("missing field"), "{malformed}");
    let stats = api.stats().await;
    assert_eq!((&stats["total"], &stats["errors"], &stats["pending"]), (&json!(2), &json!(2), &json!(0)));
    let stream = api.get("/api/monitoring/streams/task:queue").await.is(200);
    assert_eq!(stream["deadLetters"], 1);
}

async fn an_entry_that_is_no_event_stops_nobody(lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    let entry: String = lab.redis.command(&["XADD", "chat:messages", "*", "payload", "{", "what", "is this"]);
    let id = events::model::new_id();
    let foreign = [
        "XADD",
        "system:logs",
        "*",
        "id",
        &id,
        "eventType",
        "system.info",
        "payload",
        r#"{"level":"info","service":"other"}"#,
    ];
    let _: String = lab.redis.command(&foreign);
    let _: String = lab.redis.command(&foreign);

    api.post("/api/events/chat", json!({"senderId": "a", "receiverId": "b", "content": "after it"}))
        .await
        .is(201);
    api.processed(2).await;
    eventually_async("it is a dead letter", async || {
        api.events("processed=false").await.iter().any(|e| e["deadLetteredAt"].is_string())
    })
    .await;

    let rows = api.events("processed=false").await;
    assert_eq!((rows.len(), &rows[0]["entryId"]), (1, &json!(entry)));
    // The event of another program is there twice, under one id, and has counted once.
    assert_eq!(api.stats().await["effects"]["logLines"], 1);
    assert_eq!(api.events("stream=system:logs").await.len(), 1);
}
