//! Listing dead letters and showing one.

use serde_json::{Value, json};
use streamgate::testing::{RedisServer, eventually_async};

use super::{ID, add_dead_letter, ids, length};
use crate::harness::{DEAD_LETTERS, Proxy, REQUESTS, add};

#[tokio::test]
async fn dead_letters_are_paged_from_the_newest_to_the_oldest() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let mut given_up: Vec<String> =
        (0..5).map(|n| add(&server, REQUESTS, &["number", &n.to_string()])).collect();
    eventually_async("the worker gives all entries up", async || length(&server, DEAD_LETTERS) == 5).await;

    let (mut listed, mut path) = (Vec::new(), "/dead-letters?count=2".to_owned());
    for on_page in [2, 2, 1] {
        let page = proxy.get(&path).await.json();
        assert_eq!(page["total"], 5, "{page}");
        let letters = page["deadLetters"].as_array().expect("a list");
        assert_eq!(letters.len(), on_page, "{page}");
        for letter in letters {
            assert_eq!((&letter["consumer"], &letter["attempts"]), (&"w1".into(), &1.into()), "{letter}");
            assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("`id`")), "{letter}");
            assert!(letter["fields"]["number"].is_string() && letter["time"].is_string(), "{letter}");
            listed.push((letter["id"].clone(), letter["originId"].as_str().expect("an id").to_owned()));
        }
        path = format!("/dead-letters?count=2&before={}", page["next"].as_str().unwrap_or("none"));
    }

    assert!(path.ends_with("none"), "there is no page after the last: {path}");
    let mut origins: Vec<String> = listed.into_iter().map(|(_, origin)| origin).collect();
    // The worker handles them at the same time, so it may give them up in any order.
    origins.sort_unstable();
    given_up.sort_unstable();
    assert_eq!(origins, given_up);
}

#[tokio::test]
async fn a_page_before_the_first_id_is_empty() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    add(&server, DEAD_LETTERS, &["dlq_reason", "because"]);

    for (before, listed) in [("0-0", 0), ("0-1", 0), ("18446744073709551615-18446744073709551615", 1)] {
        let page = proxy.get(&format!("/dead-letters?before={before}")).await.json();
        assert_eq!((&page["total"], &page["next"]), (&1.into(), &Value::Null), "{before}: {page}");
        assert_eq!(page["deadLetters"].as_array().map(Vec::len), Some(listed), "{before}: {page}");
    }
}

#[tokio::test]
async fn a_page_that_breaks_a_rule_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    for query in [
        "count=0",
        "count=501",
        "count=many",
        "before=yesterday",
        "before=",
        "page=2",
        "reason=",
        "consumer=",
        "since=yesterday",
        "until=2026-11-21",
        "since=",
    ] {
        proxy.get(&format!("/dead-letters?{query}")).await.assert_problem(400);
    }
}

#[tokio::test]
async fn an_unknown_parameter_is_told_with_the_known_ones() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    let answer = proxy.get("/dead-letters?count=5&cnt=5").await;

    answer.assert_problem(400);
    let detail = "unknown parameter `cnt`; there are: count, stream, before, reason, consumer, requestId, since, until";
    let said: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert_eq!(said["detail"], detail);
}

#[tokio::test]
async fn a_filter_finds_exactly_the_matching_dead_letters() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let undecodable = add_dead_letter(&server, "Undecodable: field `id`", "w1");
    let panicked = add_dead_letter(&server, "the handler panicked", "w2");
    let other = add(&server, DEAD_LETTERS, &["dlq_reason", "undecodable", "dlq_consumer", "w2", "id", "7"]);

    for (query, expected) in [
        ("reason=UNDECODABLE".to_owned(), vec![&other, &undecodable]),
        ("reason=panic".to_owned(), vec![&panicked]),
        ("reason=nobody".to_owned(), vec![]),
        ("consumer=w2".to_owned(), vec![&other, &panicked]),
        ("consumer=w".to_owned(), vec![]),
        ("reason=undecodable&consumer=w2".to_owned(), vec![&other]),
        (format!("requestId={}", ID.to_uppercase()), vec![&panicked, &undecodable]),
        ("requestId=7".to_owned(), vec![&other]),
        (format!("consumer=w2&before={other}"), vec![&panicked]),
    ] {
        let page = proxy.get(&format!("/dead-letters?{query}")).await.json();

        assert_eq!(ids(&page["deadLetters"]), expected, "{query}: {page}");
        assert_eq!((&page["total"], page.get("next")), (&3.into(), None), "{query}: {page}");
    }
}

#[tokio::test]
async fn a_time_range_includes_both_its_ends() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    for ms in ["1000", "2000", "3000"] {
        let _: String = server.command(&["XADD", DEAD_LETTERS, &format!("{ms}-0"), "dlq_reason", "x"]);
    }

    for (query, expected) in [
        ("since=1970-01-01T00:00:02Z", vec!["3000-0", "2000-0"]),
        ("since=1970-01-01T00:00:02.0000001Z", vec!["3000-0"]),
        ("until=1970-01-01T00:00:02Z", vec!["2000-0", "1000-0"]),
        ("until=1970-01-01T01:00:02%2B01:00", vec!["2000-0", "1000-0"]),
        ("since=1970-01-01T00:00:02Z&until=1970-01-01T00:00:02Z", vec!["2000-0"]),
        ("since=1970-01-01T00:00:03Z&until=1970-01-01T00:00:01Z", vec![]),
        ("until=1970-01-01T00:00:02Z&before=3000-0", vec!["2000-0", "1000-0"]),
        ("until=1970-01-01T00:00:02Z&before=2000-0", vec!["1000-0"]),
        ("since=1969-01-01T00:00:00Z&before=2000-0", vec!["1000-0"]),
        ("until=1969-01-01T00:00:00Z", vec![]),
    ] {
        let page = proxy.get(&format!("/dead-letters?{query}")).await.json();

        assert_eq!(ids(&page["deadLetters"]), expected, "{query}: {page}");
    }
}

#[tokio::test]
async fn pages_of_a_filter_show_every_match_once() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let mut rare = Vec::new();
    for n in 0..5_000 {
        let reason = if n % 1_111 == 0 { "rare" } else { "common" };
        let id = format!("{}-0", n + 1);
        let _: String = server.command(&["XADD", DEAD_LETTERS, &id, "dlq_reason", reason, "n", "x"]);
        if reason == "rare" {
            rare.push(id);
        }
    }

    let (mut found, mut pages, mut before) = (Vec::new(), 0, String::new());
    loop {
        let page = proxy.get(&format!("/dead-letters?reason=rare&count=2{before}")).await.json();
        found.extend(ids(&page["deadLetters"]).into_iter().map(str::to_owned));
        pages += 1;
        let Some(next) = page.get("next").and_then(Value::as_str) else { break };
        before = format!("&before={next}");
    }

    rare.reverse();
    assert_eq!(found, rare);
    // Five matches need three pages of two, and 5,000 entries need three pages of 2,000.
    assert!((3..=5).contains(&pages), "{pages} pages");
    let nothing = proxy.get("/dead-letters?reason=never").await.json();
    assert_eq!(
        (&nothing["deadLetters"], &nothing["next"]),
        (&json!([]), &"3001-0".into()),
        "work is bounded"
    );
}

#[tokio::test]
async fn one_dead_letter_is_shown_with_its_original_fields() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let id = add_dead_letter(&server, "the handler panicked", "w2");

    let letter = proxy.get(&format!("/dead-letters/{id}")).await.json();

    assert_eq!((&letter["id"], &letter["attempts"]), (&id.as_str().into(), &5.into()), "{letter}");
    assert_eq!((&letter["reason"], &letter["consumer"]), (&"the handler panicked".into(), &"w2".into()));
    assert_eq!((&letter["originId"], &letter["group"]), (&"1-0".into(), &"g".into()), "{letter}");
    assert_eq!(letter["fieldsLeftOut"], 0, "{letter}");
    let fields = letter["fields"].as_object().expect("fields");
    assert_eq!(fields.keys().collect::<Vec<_>>(), ["body", "deadline", "extra", "id", "reply_to"]);
    assert_eq!((&fields["id"], &fields["body"]), (&ID.into(), &r#"{"city":"Berlin"}"#.into()));
    proxy.get("/dead-letters/1-0").await.assert_problem(404);
    for none in ["yesterday", "1", "1-", "1-0-0", "%ff", "99999999999999999999-0"] {
        proxy.get(&format!("/dead-letters/{none}")).await.assert_problem(400);
    }
}
