//! Bad input is a problem+json that says what to do, and nothing is on the stream.

use serde_json::{Value, json};
use streamgate::testing::{RedisServer, eventually};

use crate::harness::{Answer, Replica, Sse, message, stored};

fn assert_problem(answer: &Answer, status: u16, about: &str) {
    assert_eq!(answer.status, status, "{about}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{about}: {answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{about}");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(problem["title"].is_string() && detail.len() > 10, "{about}: {problem}");
}

/// A message whose field has another value.
fn with(field: &str, value: Value) -> String {
    let mut body: Value = serde_json::from_str(&message("hello")).expect("JSON");
    body[field] = value;
    body.to_string()
}

#[test]
fn every_wrong_field_is_named_and_nothing_is_stored() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let mut client = replica.listen("userId=u1", None);
    let texts = ["userId", "userName", "userRole", "content"];
    let mut cases: Vec<(&str, Value, &str)> = Vec::new();
    for field in texts {
        cases.extend([
            (field, json!(""), "empty or blank"),
            (field, json!(" \t\u{3000}"), "empty or blank"),
            (field, json!("a\u{0}b"), "control characters"),
            (field, json!("a\u{1b}[31m"), "control characters"),
            (field, json!("a\u{85}"), "control characters"),
            (field, json!(7), "must be text"),
            (field, json!(null), "must be text"),
            (field, json!(["a"]), "must be text"),
            (field, json!({"a": 1}), "must be text"),
        ]);
    }
    cases.extend([
        ("content", json!("x".repeat(16_385)), "at most 16384 bytes"),
        ("content", json!("é".repeat(8_193)), "at most 16384 bytes"),
        ("userId", json!("x".repeat(65)), "at most 64 characters"),
        ("userName", json!("x".repeat(101)), "at most 100 characters"),
        ("userId", json!("a\nb"), "control characters"),
        ("userName", json!("a\nb"), "control characters"),
        ("userRole", json!("Admin"), "customer or admin"),
        ("userRole", json!("root"), "customer or admin"),
    ]);

    for (field, value, rule) in cases {
        let answer = replica.post("/api/chat/send", &with(field, value.clone()));

        assert_problem(&answer, 422, field);
        let errors = answer.json()["errors"].clone();
        assert_eq!(
            (errors[0]["field"].as_str(), errors.as_array().map(Vec::len)),
            (Some(field), Some(1)),
            "{errors}"
        );
        assert!(errors[0]["detail"].as_str().expect("text").contains(rule), "{field}={value}: {errors}");
    }
    let all = replica.post("/api/chat/send", "{}").json()["errors"].clone();
    let fields: Vec<_> = all.as_array().expect("a list").iter().map(|error| error["field"].clone()).collect();
    assert_eq!(fields, texts, "all are named at once");

    assert_eq!(stored(&server), 0);
    for content in ["x".repeat(16_384), "é".repeat(8_192), "a\n\tb\r\n".to_owned()] {
        assert_eq!(replica.post("/api/chat/send", &message(&content)).status, 200);
        assert_eq!(client.content(), content, "the first event is the first good message");
    }
    assert_eq!(replica.metric("chat_requests_refused_total{status=\"422\"}"), 45.0);
}

#[test]
fn a_body_that_is_no_json_object_is_refused_and_not_stored() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let json_type = "content-type: application/json\r\n";
    let escaped = format!("{{\"content\":\"{}\"}}", "\\u0041".repeat(22_000));
    for (headers, body, status) in [
        (json_type, "", 400),
        (json_type, "{", 400),
        (json_type, "{\"userId\":\"\\ud800\"}", 400),
        (json_type, "[]", 422),
        (json_type, "\"hello\"", 422),
        (json_type, "null", 422),
        (json_type, escaped.as_str(), 413),
        ("", "{}", 415),
        ("content-type: text/plain\r\n", "{}", 415),
        ("content-type: application/x-www-form-urlencoded\r\n", "userId=a", 415),
        ("content-type: application/json; charset=latin1\r\n", "{}", 415),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", "{}", 415),
    ] {
        for path in ["/api/chat/send", "/api/chat/typing"] {
            let answer = replica.post_with(path, headers, body);

            let start: String = body.chars().take(30).collect();
            assert_problem(&answer, status, &format!("{path} {headers:?} {start}"));
        }
    }
    let huge = "x".repeat(4 << 20);
    assert_problem(&replica.post("/api/chat/send", &huge), 413, "4 MiB");
    let nested = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    assert_problem(&replica.post("/api/chat/send", &nested), 400, "deep");
    assert_eq!(stored(&server), 0);
}

#[test]
fn wrong_rooms_streams_paths_and_methods_are_problems() {
    let server = RedisServer::start();
    let replica = Replica::start(&server, &[]);
    let long = "r".repeat(65);
    for (path, status) in [
        ("/api/chat/stream", 422),
        ("/api/chat/stream?userId=", 422),
        ("/api/chat/stream?userId=%20", 422),
        ("/api/chat/stream?userId=a%00", 422),
        ("/api/chat/stream?userId=a&role=root", 422),
        ("/api/chat/stream?userId=a&room=", 422),
        ("/api/chat/stream?userId=a&room=a%20b", 422),
        ("/api/chat/stream?userId=a&history=-1", 422),
        ("/api/chat/stream?userId=a&history=1001", 422),
        ("/api/chat/stream?userId=a&userId=b", 400),
        ("/api/chat/send", 405),
        ("/api/chat", 404),
        ("/chat.css/..", 404),
    ] {
        assert_problem(&replica.get(path), status, path);
    }
    for room in ["", "a%0a", "caf%C3%A9", "a/b", long.as_str()] {
        let path = format!("/api/chat/send?room={room}");
        assert_problem(&replica.post(&path, &message("hello")), 422, &path);
    }
    for id in ["abc", "1", "1-", "-1-0", "1-0-0", "99999999999999999999-0", "1-0 2-0"] {
        let refused = Sse::connect(replica.address, "userId=u1", Some(id), "").expect_err(id);
        assert_problem(&refused, 400, id);
    }
    assert_eq!(stored(&server), 0);
}

#[test]
fn a_sender_that_sends_too_often_is_told_when_to_go_on() {
    let server = RedisServer::start();
    let limits = [("CHAT_SEND_RATE", "1"), ("CHAT_SEND_BURST", "3")];
    let replica = Replica::start(&server, &limits);
    let send = |user: &str| replica.post("/api/chat/send", &with("userId", json!(user)));
    let statuses: Vec<_> = (0..10).map(|_| send("ann").status).collect();
    assert_eq!(statuses[..3], [200; 3], "a burst is allowed");
    assert!(statuses.iter().filter(|status| **status == 429).count() >= 5, "{statuses:?}");

    let refused = send(" ann ");

    assert_problem(&refused, 429, "spaces make no other sender");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(send("bob").status, 200, "another sender is not limited");
    let before = stored(&server);
    eventually("it may send again", || send("ann").status == 200);
    assert_eq!(stored(&server), before + 1, "what was refused is not stored");
}
