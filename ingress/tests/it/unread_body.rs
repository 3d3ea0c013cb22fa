//! Callers that still send a body after they are answered.

use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use streamgate::testing::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{FORECAST, Ingress};

/// Larger than the socket buffers, so that a write blocks if ingress does not read.
const SIZE: usize = 10 << 20;

fn head(more: &str, size: usize) -> String {
    format!("POST {FORECAST} HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n{more}\r\n")
}

#[tokio::test]
async fn a_caller_that_sends_all_is_answered_and_keeps_its_connection() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (kind, status) in [("text/plain", "415"), ("application/json", "413")] {
        let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");
        let kind = format!("content-type: {kind}\r\n");
        stream.write_all(head(&kind, SIZE).as_bytes()).await.expect("written");
        stream.write_all(&vec![b' '; SIZE]).await.expect("written to its end");
        let again = head("connection: close\r\ncontent-type: text/plain\r\n", 0);
        stream.write_all(again.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered and closed");

        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 415 ").count() + answer.matches("HTTP/1.1 413 ").count(),
            2,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_a_body_that_never_arrives() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--header-timeout", "5s"]).await;
    let mut stream = TcpStream::connect(ingress.api).await.expect("accepted");

    stream.write_all(head("content-type: text/plain\r\n", SIZE).as_bytes()).await.expect("written");
    let mut answer = [0; 12];
    let first = tokio::time::timeout(Duration::from_secs(4), stream.read_exact(&mut answer)).await;

    first.expect("before the time limit of the body").expect("answered");
    assert_eq!(&answer, b"HTTP/1.1 415");
    let mut rest = String::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut rest)).await;
    closed.expect("closed").expect("in order");
}

#[tokio::test]
async fn over_http_2_the_refusal_of_a_body_reaches_the_caller() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let client = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");

    for (kind, status) in [("text/plain", 415), ("application/json", 413)] {
        let request = client.post(format!("http://{}{FORECAST}", ingress.api)).header(CONTENT_TYPE, kind);
        let answer = request.body(vec![b' '; SIZE]).send().await.expect("answered");

        assert_eq!(answer.status(), status);
        assert!(answer.text().await.expect("a body").contains("requestId"));
    }
}
