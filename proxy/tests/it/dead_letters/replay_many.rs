//! Replaying and discarding many dead letters.

use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use streamgate::testing::RedisServer;

use super::{add_dead_letter, all_acknowledged, ids, length};
use crate::harness::{DEAD_LETTERS, Proxy, REPLIES, REQUESTS, add};

/// The outcomes of an answer, in order.
fn outcomes(answer: &Value) -> Vec<&str> {
    let results = answer["results"].as_array().expect("a list");
    results.iter().map(|result| result["outcome"].as_str().expect("an outcome")).collect()
}

#[tokio::test]
async fn each_of_many_is_replayed_once_and_has_an_outcome() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let (a, b) = (add_dead_letter(&server, "because", "w2"), add_dead_letter(&server, "because", "w2"));
    let cut = add(&server, DEAD_LETTERS, &["dlq_reason", "r", "dlq_fields_left_out", "1", "id", "x"]);
    let body = json!({"ids": [b, "1-0", cut, a, b]});

    let first = proxy.post("/dead-letters/replay", &body).await.json();
    let second = proxy.post("/dead-letters/replay", &body).await.json();

    assert_eq!(outcomes(&first), ["replayed", "notFound", "refused", "replayed", "notFound"], "{first}");
    assert_eq!(ids(&first["results"]), [&b, "1-0", &cut, &a, &b], "{first}");
    assert!(first["results"][0]["entryId"].is_string() && first["results"][2]["detail"].is_string());
    assert_eq!((&first["done"], &second["done"]), (&2.into(), &0.into()), "{second}");
    assert_eq!(outcomes(&second), ["notFound", "notFound", "refused", "notFound", "notFound"], "{second}");
    all_acknowledged(&proxy).await;
    assert_eq!([REQUESTS, REPLIES, DEAD_LETTERS].map(|stream| length(&server, stream)), [2, 2, 1]);
}

#[tokio::test]
async fn following_next_replays_every_match() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    // The loop must not replay a dead letter that was given up again, or it would never end.
    let garbage = ["dlq_reason", "undecodable", "number", "7"];
    let old: Vec<String> = (0..7).map(|_| add(&server, DEAD_LETTERS, &garbage)).collect();
    let other = add_dead_letter(&server, "the handler panicked", "w2");

    let (mut replayed, mut body) = (Vec::new(), json!({"filter": {"reason": "undecodable"}, "limit": 3}));
    for _ in 0..10 {
        let answer = proxy.post("/dead-letters/replay", &body).await.json();
        replayed.extend(ids(&answer["results"]).into_iter().map(str::to_owned));
        let Some(next) = answer.get("next") else { break };
        body["before"] = next.clone();
    }

    let newest_first: Vec<String> = old.into_iter().rev().collect();
    assert_eq!(replayed, newest_first);
    all_acknowledged(&proxy).await;
    let page = proxy.get("/dead-letters").await.json();
    assert_eq!((&page["total"], ids(&page["deadLetters"]).contains(&other.as_str())), (&8.into(), true));
}

#[tokio::test]
async fn many_are_discarded_at_once() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let (a, b) =
        (add_dead_letter(&server, "because", "w2"), add_dead_letter(&server, "the handler panicked", "w2"));

    let by_ids = proxy.post("/dead-letters/discard", &json!({"ids": [a, "1-0", a]})).await.json();
    let by_filter = proxy.post("/dead-letters/discard", &json!({"filter": {}})).await.json();
    let none_left = proxy.post("/dead-letters/discard", &json!({"filter": {}})).await.json();

    assert_eq!(outcomes(&by_ids), ["discarded", "notFound", "notFound"], "{by_ids}");
    assert_eq!(
        (ids(&by_filter["results"]), &by_filter["done"]),
        (vec![b.as_str()], &1.into()),
        "{by_filter}"
    );
    assert_eq!(none_left, json!({"done": 0, "results": []}));
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (0, 0));
}

#[tokio::test]
async fn a_body_that_breaks_a_rule_changes_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    add_dead_letter(&server, "because", "w2");
    let too_many = vec!["1-0"; 501];

    for path in ["/dead-letters/replay", "/dead-letters/discard"] {
        for body in [
            json!({}),
            json!({"ids": []}),
            json!({"ids": too_many}),
            json!({"ids": ["yesterday"]}),
            json!({"ids": [1]}),
            json!({"ids": null}),
            json!({"ids": ["1-0"], "filter": {}}),
            json!({"ids": ["1-0"], "limit": 1}),
            json!({"filter": null}),
            json!({"filter": {}, "limit": 0}),
            json!({"filter": {}, "limit": 501}),
            json!({"filter": {}, "before": "x"}),
            json!({"filter": {"reason": ""}}),
            json!({"filter": {"since": "yesterday"}}),
            json!({"filter": {"resaon": "typo"}}),
        ] {
            let answer = proxy.post(path, &body).await;
            answer.assert_problem(422);
        }
        proxy.post(path, &json!(["1-0"])).await.assert_problem(422);
        let send = |body: &str, media: &'static str| {
            let request = proxy.request(Method::POST, path).header(CONTENT_TYPE, media);
            proxy.send(request.body(body.to_owned()))
        };
        send("{", "application/json").await.assert_problem(400);
        send(r#"{"filter":{}}"#, "text/plain").await.assert_problem(415);
        send(&format!(r#"{{"filter":{{}}{}}}"#, " ".repeat(70_000)), "application/json")
            .await
            .assert_problem(413);
    }
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (1, 0));
}
