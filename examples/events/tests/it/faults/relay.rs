//! The outbox and its relay: every event is on its stream once, in order, whatever ends.

use serde_json::json;
use streamgate::testing::{Link, eventually, eventually_async};

use crate::harness::{Lab, on_both_databases};

on_both_databases![
    an_api_killed_before_its_relay_loses_nothing,
    a_relay_killed_before_its_note_appends_once,
    one_of_two_relays_appends_and_the_other_takes_over,
];

async fn an_api_killed_before_its_relay_loses_nothing(mut lab: Lab) {
    let api = lab.api().await;
    lab.redis.kill();

    let created =
        api.post("/api/users", json!({"username": "ada", "email": "ada@example.org"})).await.is(201);
    api.kill();
    lab.redis.restart();
    let nothing = lab.on_stream("user:events");
    let (api, _member) = (lab.api().await, lab.member("m1"));
    api.processed(1).await;

    assert_eq!(nothing, Vec::<String>::new());
    assert_eq!(json!(lab.on_stream("user:events")), json!([created["messageId"]]));
    assert_eq!(api.stats().await["effects"]["userChanges"], 1);
}

async fn a_relay_killed_before_its_note_appends_once(lab: Lab) {
    let link = Link::to(&lab.redis);
    let api = lab.api_with(&[("REDIS_URL", &link.url())]).await;
    api.user("first").await;
    eventually("the first event is on the stream", || lab.on_stream("user:events").len() == 1);
    eventually_async("and noted", async || api.events("").await[0]["entryId"].is_string()).await;

    link.hold_replies();
    for number in 0..5 {
        api.user(&format!("user-{number}")).await;
    }
    eventually("Redis has stored at least one more", || lab.on_stream("user:events").len() > 1);
    let noted = api.events("").await.iter().filter(|event| event["entryId"].is_string()).count();
    api.kill();
    let (api, _member) = (lab.api().await, lab.member("m1"));
    api.processed(6).await;

    assert_eq!(noted, 1, "the relay got no answer, so it has noted nothing");
    let mut published: Vec<_> = api.events("").await.iter().map(|event| event["id"].clone()).collect();
    published.reverse();
    let on_stream: Vec<_> = lab.on_stream("user:events").into_iter().map(|id| json!(id)).collect();
    assert_eq!(on_stream, published, "each once, in order");
    assert_eq!(api.stats().await["effects"]["userChanges"], 6);
}

async fn one_of_two_relays_appends_and_the_other_takes_over(lab: Lab) {
    let apis = [lab.api().await, lab.api().await];
    eventually_async("one relays", async || {
        let [a, b] = [apis[0].get("/health").await.is(200), apis[1].get("/health").await.is(200)];
        a["relaying"] != b["relaying"]
    })
    .await;

    for number in 0..40 {
        apis[number % 2].user(&format!("user-{number}")).await;
    }
    eventually("all are on the stream", || lab.on_stream("user:events").len() == 40);
    let leads = apis[0].get("/health").await.is(200)["relaying"] == true;
    let [first, second] = apis;
    let (leader, other) = if leads { (first, second) } else { (second, first) };
    leader.kill();
    other.user("after").await;

    eventually("the other one takes over", || lab.on_stream("user:events").len() == 41);
    let mut published: Vec<_> =
        other.events("limit=200").await.iter().map(|event| event["id"].clone()).collect();
    published.reverse();
    assert_eq!(json!(lab.on_stream("user:events")), json!(published));
}
