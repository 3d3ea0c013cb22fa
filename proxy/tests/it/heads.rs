//! Requests that the worker refuses by their head, before it reads a body.

use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use serde_json::json;
use streamgate::testing::RedisServer;

use crate::harness::{Proxy, TOKEN};

#[tokio::test]
async fn a_request_without_one_valid_host_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::ready(&server, &[]).await;

    for (line, hosts, status) in [
        ("GET /healthz HTTP/1.1", "", 400),
        ("GET /livez HTTP/1.1", "", 400),
        ("GET /dead-letters HTTP/1.1", "", 400),
        ("GET /nothing HTTP/1.1", "", 400),
        ("GET /healthz HTTP/1.1", "host: a\r\nhost: b\r\n", 400),
        ("GET /healthz HTTP/1.1", "host: a b\r\n", 400),
        ("GET /healthz HTTP/1.1", "host: a\r\n", 200),
        ("GET /healthz HTTP/1.0", "", 200),
    ] {
        let answer = proxy.exchange(&format!("{line}\r\n{hosts}connection: close\r\n\r\n")).await;

        assert_eq!(answer.get(9..12), Some(&*status.to_string()), "{line} {hosts}: {answer}");
        assert_eq!(answer.contains("application/problem+json"), status == 400, "{line} {hosts}: {answer}");
    }
}

#[tokio::test]
async fn a_huge_body_is_refused_before_it_is_read() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    for (line, status) in [
        ("POST /dead-letters/replay", 413),
        ("POST /dead-letters/discard", 413),
        ("POST /nothing", 404),
        ("PUT /healthz", 405),
        ("POST /livez", 405),
    ] {
        for expect in ["", "expect: 100-continue\r\n"] {
            let head = format!("{line} HTTP/1.1\r\nhost: x\r\n{expect}authorization: Bearer {TOKEN}\r\n");
            let head = format!("{head}content-type: application/json\r\ncontent-length: 1000000000\r\n\r\n");

            let answer = proxy.exchange(&head).await;

            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {expect}: {answer}");
            assert!(answer.contains("application/problem+json"), "{line} {expect}: {answer}");
            assert!(
                status != 413 || answer.contains("\r\nconnection: close\r\n"),
                "{line} {expect}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_with_a_content_coding_is_refused() {
    let server = RedisServer::start();
    let proxy = Proxy::with_admin(&server, &[]).await;

    for path in ["/dead-letters/replay", "/dead-letters/discard"] {
        for (coding, status) in [("gzip", 415), ("BR", 415), ("identity, gzip", 415), ("identity", 422)] {
            let request = proxy.request(Method::POST, path).json(&json!({})).header(CONTENT_ENCODING, coding);

            let answer = proxy.send(request).await;

            answer.assert_problem(status);
            let accepted = answer.headers.get(ACCEPT_ENCODING).map(|value| value.as_bytes());
            assert_eq!(accepted, (status == 415).then_some(&b"identity"[..]), "{path} {coding}");
        }
    }
}
