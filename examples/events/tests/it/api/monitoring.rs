//! Streams, groups and Redis.

use serde_json::json;

use crate::harness::{Lab, on_both_databases};

on_both_databases![streams_groups_and_entries_are_shown, the_redis_server_is_shown];

async fn streams_groups_and_entries_are_shown(lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    for number in 0..3 {
        api.post("/api/events/logs", json!({"level": "info", "message": format!("line {number}")}))
            .await
            .is(201);
    }
    api.processed(3).await;

    let all = api.get("/api/monitoring/streams").await.is(200);
    let logs = &all["streams"][3];
    let one = api.get("/api/monitoring/streams/system:logs").await.is(200);
    let groups = api.get("/api/monitoring/streams/system:logs/groups").await.is(200);
    let path = "/api/monitoring/streams/system:logs/messages";
    let messages = api.get(path).await.is(200);
    let newest = api.get(&format!("{path}?direction=backward&count=1")).await.is(200);
    let id = |at: usize| messages["messages"][at]["id"].as_str().expect("an id").to_owned();
    let middle = api.get(&format!("{path}?start={}&end={}", id(1), id(1))).await.is(200);

    assert_eq!(
        (&logs["name"], &logs["length"], &logs["groups"]),
        (&json!("system:logs"), &json!(3), &json!(1))
    );
    assert_eq!((&one["firstEntryId"], &one["lastEntryId"]), (&json!(id(0)), &json!(id(2))));
    assert_eq!(
        (&groups["groups"][0]["name"], &groups["groups"][0]["consumers"][0]["name"]),
        (&json!("log-processing-group"), &json!("m1"))
    );
    assert_eq!((&messages["count"], &newest["messages"][0]["id"]), (&json!(3), &json!(id(2))));
    assert_eq!(
        (middle["messages"].as_array().expect("a list").len(), &middle["messages"][0]["id"]),
        (1, &json!(id(1)))
    );
    assert_eq!(messages["messages"][0]["fields"]["eventType"], "system.info");
    for bad in ["start=now", "end=1", "count=0", "count=201"] {
        api.get(&format!("{path}?{bad}")).await.is_problem(422);
    }
    api.get(&format!("{path}?direction=up")).await.is_problem(400);
    for other in ["elsewhere", "custom:unknown", "%7Bsystem:logs%7D:dlq"] {
        api.get(&format!("/api/monitoring/streams/{other}")).await.is_problem(404);
        api.get(&format!("/api/monitoring/streams/{other}/messages")).await.is_problem(404);
    }
    let empty = api.get("/api/monitoring/streams/chat:messages/messages").await.is(200);
    assert_eq!(empty, json!({"messages": [], "count": 0}));
}

async fn the_redis_server_is_shown(mut lab: Lab) {
    let api = lab.api().await;

    let info = api.get("/api/monitoring/redis/info").await.is(200);
    let ping = api.get("/api/monitoring/redis/ping").await.is(200);
    lab.redis.kill();

    assert!(
        info["version"].as_str().expect("text").contains('.') && info["memoryBytes"].as_u64() > Some(0),
        "{info}"
    );
    assert!(info["clients"].as_u64() > Some(0) && info["commands"].as_u64() > Some(0), "{info}");
    assert!(ping["latencyMs"].as_f64() > Some(0.0), "{ping}");
    for path in [
        "redis/info",
        "redis/ping",
        "streams",
        "streams/user:events",
        "streams/user:events/groups",
        "streams/user:events/messages",
    ] {
        let away = api.get(&format!("/api/monitoring/{path}")).await;
        away.is_problem(503);
        assert_eq!(away.headers["retry-after"], "1");
    }
}
