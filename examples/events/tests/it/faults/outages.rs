//! Redis and the database away.

use std::time::{Duration, Instant};

use serde_json::json;
use streamgate::testing::{eventually, eventually_async};

use crate::harness::{Lab, on_both_databases};

on_both_databases![
    users_are_created_while_redis_is_away,
    without_its_database_the_service_says_so_and_recovers,
    consumers_wait_for_their_database,
];

async fn users_are_created_while_redis_is_away(mut lab: Lab) {
    let (api, _member) = (lab.api().await, lab.member("m1"));
    api.user("before").await;
    api.processed(1).await;

    lab.redis.kill();
    let (away, mut number) = (Instant::now(), 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    while away.elapsed() < Duration::from_secs(10) {
        ticks.tick().await;
        let id = api.user(&format!("user-{number}")).await;
        api.put(&format!("/api/users/{id}"), json!({"status": "inactive"})).await.is(200);
        number += 1;
    }
    assert!(number > 10);
    lab.redis.restart();
    api.processed(1 + 2 * number).await;

    let mut published: Vec<_> = Vec::new();
    for offset in (0..=2 * number).step_by(200) {
        published.extend(
            api.events(&format!("limit=200&offset={offset}")).await.iter().map(|event| event["id"].clone()),
        );
    }
    published.reverse();
    assert_eq!(json!(lab.on_stream("user:events")), json!(published), "in order, each once");
    assert_eq!(api.stats().await["effects"]["userChanges"], 1 + 2 * number);
}

async fn without_its_database_the_service_says_so_and_recovers(lab: Lab) {
    let mut lab = lab.with_own_server();
    let api = lab.api().await;
    api.user("before").await;
    eventually("its event is on the stream", || lab.on_stream("user:events").len() == 1);
    let user = json!({"username": "ada", "email": "ada@example.org"});

    let outage = lab.database.outage().await;
    let refused = api.post("/api/users", user.clone()).await;
    refused.is_problem(503);
    outage.end().await;
    eventually_async("it can be created", async || api.post("/api/users", user.clone()).await.status == 201)
        .await;
    eventually("both events are on the stream", || lab.on_stream("user:events").len() == 2);

    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(api.stats().await["total"], 2, "what was refused has no event");
    assert_eq!(api.get("/api/users").await.is(200)["count"], 2);
}

async fn consumers_wait_for_their_database(lab: Lab) {
    let mut lab = lab.with_own_server();
    let api = lab.api().await;
    let (member, tally) = (lab.member("m1"), lab.process("tally", &["consumer"], &[]));
    api.post("/api/events/logs", json!({"level": "info", "message": "before"})).await.is(201);
    api.processed(1).await;

    let outage = lab.database.outage().await;
    let ids: Vec<String> = (0..20).map(|_| events::model::new_id()).collect();
    for id in &ids {
        let entry = ["XADD", "system:logs", "*", "id", id, "eventType", "system.info"];
        let payload = ["payload", r#"{"level":"info","service":"other"}"#, "timestamp", "0"];
        let _: String = lab.redis.command(&[&entry[..], &payload].concat());
    }
    eventually("the consumer says that it waits", || member.log().contains("events go back to the group"));
    outage.end().await;
    api.processed(21).await;

    let dead: u64 = lab.redis.command(&["XLEN", "{system:logs}:dlq"]);
    assert_eq!(dead, 0, "an outage uses up no delivery");
    assert_eq!(api.stats().await["effects"]["logLines"], 21);
    eventually_async("the simple consumer goes on, too", async || {
        api.stats().await["tallies"] == json!([{"reader": "tally", "entries": 21}])
    })
    .await;
    drop(tally);
}
