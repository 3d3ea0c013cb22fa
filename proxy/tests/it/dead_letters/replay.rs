//! Replaying and discarding one dead letter.

use reqwest::Method;
use streamgate::clock::{Clock, SystemClock};
use streamgate::testing::{RedisServer, eventually_async};

use super::{ID, add_dead_letter, all_acknowledged, length};
use crate::harness::{DEAD_LETTERS, Proxy, REPLIES, REQUESTS, add, entries, metric};

fn value<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
}

#[tokio::test]
async fn a_replayed_dead_letter_gets_a_reply() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &["--request-timeout", "60s"]).await;
    let id = add_dead_letter(&server, "the handler panicked", "w2");
    let before_ms = SystemClock.now_ms();

    let replayed = proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await.json();

    assert_eq!(replayed["id"], id, "{replayed}");
    let [(entry, fields)] = &entries(&server, REQUESTS)[..] else { panic!("one entry") };
    assert_eq!(replayed["entryId"], entry.as_str(), "{replayed}");
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["id", "reply_to", "deadline", "body", "extra", "replay_of"]);
    assert_eq!((value(fields, "id"), value(fields, "reply_to")), (Some(ID), Some(REPLIES)));
    assert_eq!((value(fields, "extra"), value(fields, "replay_of")), (Some("kept"), Some(id.as_str())));
    let deadline: u64 = value(fields, "deadline").and_then(|ms| ms.parse().ok()).expect("a number");
    assert!((before_ms + 55_000..before_ms + 90_000).contains(&deadline), "{deadline} at {before_ms}");
    all_acknowledged(&proxy).await;
    eventually_async("the reply is there", async || length(&server, REPLIES) == 1).await;
    let (_, reply) = &entries(&server, REPLIES)[0];
    assert_eq!((value(reply, "id"), value(reply, "status")), (Some(ID), Some("200")), "{reply:?}");
    assert_eq!(length(&server, DEAD_LETTERS), 0);
    let metrics = proxy.get("/metrics").await.text;
    assert_eq!(metric(&metrics, "streamgate_dead_letters_replayed_total"), Some(1.0), "{metrics}");
    proxy.get(&format!("/dead-letters/{id}")).await.assert_problem(404);
    proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await.assert_problem(404);
    assert_eq!(length(&server, REQUESTS), 1);
}

#[tokio::test]
async fn a_replay_that_fails_makes_a_dead_letter_with_its_origin() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let garbage = add(&server, REQUESTS, &["number", "7", "dlq_reason", "theirs"]);
    let mut last = String::new();

    for round in 0..3 {
        let mut letters = Vec::new();
        eventually_async("the worker gives the entry up", async || {
            letters = entries(&server, DEAD_LETTERS);
            letters.len() == 1
        })
        .await;
        let (id, fields) = letters.remove(0);
        let original: Vec<(&str, &str)> =
            fields[6..].iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut expected = vec![("number", "7"), ("dlq_reason", "theirs")];
        if round == 0 {
            assert_eq!(value(&fields, "dlq_origin_id"), Some(garbage.as_str()));
        } else {
            expected.push(("replay_of", last.as_str()));
        }
        assert_eq!(original, expected);
        let answer = proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        last = id;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_replays_at_once_only_one_succeeds() {
    let server = RedisServer::start();
    let first = Proxy::with_admin(&server, &[]).await;
    let second = Proxy::with_admin(&server, &["--worker-name", "w2"]).await;

    for _ in 0..10 {
        let id = add_dead_letter(&server, "because", "w3");
        let (before, path) = (length(&server, REQUESTS), format!("/dead-letters/{id}/replay"));

        let asked = (0..8).map(|n| if n % 2 == 0 { &first } else { &second });
        let statuses =
            futures_util::future::join_all(asked.map(|proxy| proxy.ask(Method::POST, &path))).await;

        let done = statuses.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((done, length(&server, REQUESTS) - before), (1, 1), "{statuses:?}");
        assert!(statuses.iter().all(|answer| matches!(answer.status, 200 | 404)), "{statuses:?}");
    }
}

#[tokio::test]
async fn a_dead_letter_without_all_its_fields_is_not_replayed() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let own = ["dlq_reason", "r", "dlq_consumer", "w"];
    let cut = add(&server, DEAD_LETTERS, &[&own[..], &["dlq_fields_left_out", "3", "id", "x"]].concat());
    let empty = add(&server, DEAD_LETTERS, &own);
    let mut huge = own.map(str::to_owned).to_vec();
    huge.extend((0..8_002).map(|n| n.to_string()));
    let huge = add(&server, DEAD_LETTERS, &huge.iter().map(String::as_str).collect::<Vec<_>>());

    for (id, reason) in [(&cut, "3 of its fields"), (&empty, "no original fields"), (&huge, "4001 fields")] {
        let answer = proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await;

        answer.assert_problem(409);
        assert!(answer.text.contains(reason), "{answer:?}");
    }
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (3, 0));
    let letter = proxy.get(&format!("/dead-letters/{cut}")).await.json();
    assert_eq!((&letter["fieldsLeftOut"], &letter["fields"]["id"]), (&3.into(), &"x".into()), "{letter}");
    assert!(letter["fields"].get("dlq_fields_left_out").is_none(), "{letter}");
}

#[tokio::test]
async fn a_dead_letter_stays_if_redis_refuses_the_new_entry() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let id = add_dead_letter(&server, "because", "w2");
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);

    let refused = proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await;
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);

    refused.assert_problem(503);
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (1, 0));
    assert_eq!(proxy.ask(Method::POST, &format!("/dead-letters/{id}/replay")).await.status, 200);
}

#[tokio::test]
async fn a_discarded_dead_letter_is_gone() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let (kept, id) = (add_dead_letter(&server, "because", "w2"), add_dead_letter(&server, "because", "w2"));

    let discarded = proxy.ask(Method::DELETE, &format!("/dead-letters/{id}")).await;

    assert_eq!((discarded.status, discarded.text.as_str()), (204, ""));
    proxy.ask(Method::DELETE, &format!("/dead-letters/{id}")).await.assert_problem(404);
    proxy.ask(Method::DELETE, "/dead-letters/yesterday").await.assert_problem(400);
    let left: Vec<String> = entries(&server, DEAD_LETTERS).into_iter().map(|(id, _)| id).collect();
    assert_eq!((left, length(&server, REQUESTS)), (vec![kept], 0));
    let metrics = proxy.get("/metrics").await.text;
    assert_eq!(metric(&metrics, "streamgate_dead_letters_discarded_total"), Some(1.0), "{metrics}");
}

#[tokio::test]
async fn dead_letters_are_bounded_and_trimmed_ones_are_counted() {
    let server = RedisServer::start();
    let flags = ["--dead-letters-kept", "50", "--housekeeping-period", "100ms"];
    let proxy = Proxy::with_admin(&server, &flags).await;

    for n in 0..400 {
        add(&server, REQUESTS, &["number", &n.to_string()]);
    }
    all_acknowledged(&proxy).await;

    // Redis trims whole nodes of 100 entries each.
    let kept = length(&server, DEAD_LETTERS);
    assert!((50..=150).contains(&kept), "{kept}");
    eventually_async("the metric counts the trimmed dead letters", async || {
        let text = proxy.get("/metrics").await.text;
        let length = metric(&text, r#"streamgate_stream_length{stream="{weather-requests}:dlq"}"#);
        metric(&text, "streamgate_dead_letters_total") == Some(400.0)
            && metric(&text, "streamgate_dead_letters_trimmed_total") == Some(400.0 - kept as f64)
            && metric(&text, "streamgate_dead_letters_limit") == Some(50.0)
            && length == Some(kept as f64)
    })
    .await;
}
