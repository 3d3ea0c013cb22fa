//! The dead-letter operations need the admin token.

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use serde_json::json;
use streamgate::testing::RedisServer;

use super::{add_dead_letter, length};
use crate::harness::{DEAD_LETTERS, HttpAnswer, Proxy, REQUESTS, TOKEN};

/// Sends every dead-letter operation on `id`.
async fn try_everything(proxy: &Proxy, id: &str, authorization: Option<&str>) -> Vec<HttpAnswer> {
    let mut answer = Vec::new();
    for (method, path) in [
        (Method::GET, "/dead-letters".to_owned()),
        (Method::HEAD, "/dead-letters".to_owned()),
        (Method::GET, format!("/dead-letters/{id}")),
        (Method::POST, format!("/dead-letters/{id}/replay")),
        (Method::DELETE, format!("/dead-letters/{id}")),
        (Method::POST, "/dead-letters/replay".to_owned()),
        (Method::POST, "/dead-letters/discard".to_owned()),
    ] {
        let mut request = proxy.request(method, &path).json(&json!({"ids": [id]}));
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        answer.push(proxy.send(request).await);
    }
    answer
}

#[tokio::test]
async fn without_a_token_in_the_settings_every_operation_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;
    let id = add_dead_letter(&server, "because", "w2");

    for authorization in [None, Some("Bearer "), Some("Bearer x"), Some(&*format!("Bearer {TOKEN}"))] {
        for answer in try_everything(&proxy, &id, authorization).await {
            assert_eq!(answer.status, 403, "{answer:?}");
            assert!(answer.text.is_empty() || answer.text.contains("set ADMIN_TOKEN"), "{answer:?}");
        }
    }
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (1, 0));
}

#[tokio::test]
async fn a_missing_or_wrong_token_opens_nothing() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &["--admin-token", TOKEN]).await;
    let id = add_dead_letter(&server, "because", "w2");
    let (longer, shorter) = (format!("Bearer {TOKEN}x"), format!("Bearer {}", &TOKEN[1..]));

    for (authorization, challenge) in [
        (None, "Bearer"),
        (Some("Basic YTpi"), "Bearer"),
        (Some(TOKEN), "Bearer"),
        (Some("Bearer wrong"), r#"Bearer error="invalid_token""#),
        (Some(&*longer), r#"Bearer error="invalid_token""#),
        (Some(&*shorter), r#"Bearer error="invalid_token""#),
    ] {
        for answer in try_everything(&proxy, &id, authorization).await {
            assert_eq!(answer.status, 401, "{authorization:?}: {answer:?}");
            assert_eq!(answer.headers[WWW_AUTHENTICATE], challenge, "{answer:?}");
            assert!(!answer.text.contains("Berlin") && !answer.text.contains(TOKEN), "{answer:?}");
        }
    }
    let twice = proxy.request(Method::GET, "/dead-letters").bearer_auth(TOKEN).bearer_auth(TOKEN);
    assert_eq!(proxy.send(twice).await.status, 401);
    assert_eq!((length(&server, DEAD_LETTERS), length(&server, REQUESTS)), (1, 0));
}

#[tokio::test]
async fn answers_to_the_token_must_not_be_stored() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;
    let id = add_dead_letter(&server, "because", "w2");

    for path in ["/dead-letters".to_owned(), format!("/dead-letters/{id}")] {
        let answer = proxy.get(&path).await;
        assert!(answer.status == 200 && answer.text.contains("Berlin"), "{answer:?}");
        assert_eq!(answer.headers[CACHE_CONTROL], "no-store", "{answer:?}");
    }
}

#[tokio::test]
async fn no_other_operation_shows_the_fields_of_a_dead_letter() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &["--admin-token", TOKEN]).await;
    let id = add_dead_letter(&server, "because", "w2");

    let stream = proxy.get("/streams/%7Bweather-requests%7D:dlq").await;

    assert!(!stream.text.contains("Berlin") && !stream.text.contains("because"), "{stream:?}");
    let stream = stream.json();
    assert_eq!((&stream["length"], &stream["last"]["id"]), (&1.into(), &id.into()), "{stream}");
    assert!(stream["last"]["time"].is_string() && stream["last"].get("fields").is_none(), "{stream}");
}

#[tokio::test]
async fn another_method_is_refused_and_the_allowed_ones_are_named() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    for (method, path, allow) in [
        (Method::POST, "/dead-letters", "GET,HEAD"),
        (Method::PUT, "/dead-letters/1-0", "DELETE,GET,HEAD"),
        (Method::GET, "/dead-letters/1-0/replay", "POST"),
        (Method::GET, "/dead-letters/replay", "POST"),
    ] {
        let answer = proxy.ask(method.clone(), path).await;
        answer.assert_problem(405);
        let mut allowed: Vec<&str> = answer.headers["allow"].to_str().expect("text").split(',').collect();
        allowed.sort_unstable();
        assert_eq!(allowed.join(","), allow, "{method} {path}");
    }
}
