//! Web pages that send requests from a browser (CORS).

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder};
use streamgate::testing::RedisServer;

use crate::harness::{Answer, BERLIN, FORECAST, Ingress, send, stored};

const PAGE: &str = "https://app.example.org";

fn preflight(ingress: &Ingress, origin: &str) -> RequestBuilder {
    ingress
        .request(Method::OPTIONS, FORECAST)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type, x-api-key")
}

/// Checks that the list in a header contains all `names`.
fn assert_lists(answer: &Answer, header: &str, names: &[&str]) {
    let listed: Vec<String> =
        answer.header(header).unwrap_or_default().split(',').map(|name| name.trim().to_lowercase()).collect();
    for name in names {
        assert!(listed.iter().any(|one| one == name), "{header} lacks {name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_listed_page_needs_no_key_to_ask_for_permission() {
    let server = RedisServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let keys = folder.path().join("keys");
    std::fs::write(&keys, format!("a:{}\n", "0".repeat(64))).expect("written");
    let keys = keys.to_str().expect("text");
    let origins = format!("http://localhost:3000,{PAGE}");
    let ingress =
        Ingress::ready(&server, &["--cors-allowed-origins", &origins, "--api-keys-file", keys]).await;

    let allowed = send(preflight(&ingress, PAGE)).await;
    let request = ingress.request(Method::POST, FORECAST).header("origin", PAGE).body(BERLIN);
    let refused = send(request.header(CONTENT_TYPE, "application/json")).await;

    assert_eq!(allowed.status, 200, "{allowed:?}");
    assert_eq!(allowed.header("access-control-allow-origin"), Some(PAGE));
    assert_lists(&allowed, "access-control-allow-headers", &["content-type", "authorization", "x-api-key"]);
    assert_lists(&allowed, "access-control-allow-methods", &["get", "post"]);
    assert!(allowed.header("x-request-id").is_some(), "{allowed:?}");
    refused.assert_problem(401);
    assert_eq!(refused.header("access-control-allow-origin"), Some(PAGE), "the page may read the reason");
    let exposed = ["x-request-id", "retry-after", "server-timing", "ratelimit", "ratelimit-policy"];
    assert_lists(&refused, "access-control-expose-headers", &exposed);
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn other_pages_are_refused_and_a_star_allows_all() {
    let server = RedisServer::start();
    let strict = Ingress::ready(&server, &["--cors-allowed-origins", PAGE]).await;
    let open = Ingress::ready(&server, &["--cors-allowed-origins", "*"]).await;

    for other in
        ["https://evil.example.org", "http://app.example.org", "https://app.example.org:8443", "null"]
    {
        let answer = send(preflight(&strict, other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{other}");
        let answer = send(preflight(&open, other)).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{other}");
    }
    let other_caller = strict.get("/livez").await;
    assert_eq!(other_caller.status, 200, "CORS does not affect callers that are not browsers");
}

#[tokio::test]
async fn the_answer_to_a_preflight_says_that_cors_is_off() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    let asked = send(preflight(&ingress, PAGE)).await;
    let other = send(ingress.request(Method::OPTIONS, FORECAST)).await;
    let called = send(ingress.request(Method::GET, "/livez").header("origin", PAGE)).await;

    asked.assert_problem(405);
    assert!(asked.text.contains("CORS_ALLOWED_ORIGINS"), "{asked:?}");
    assert_eq!(asked.header("allow"), Some("POST"));
    other.assert_problem(405);
    assert!(!other.text.contains("CORS"), "{other:?}");
    assert!(!called.headers.keys().any(|name| name.as_str().starts_with("access-control")), "{called:?}");
}
