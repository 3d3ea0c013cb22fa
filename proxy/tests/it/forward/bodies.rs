//! Bodies pass through as bytes.

use bytes::Bytes;

use super::gateway::{Ask, Gateway, text};
use super::upstream::{Act, Upstream, ok};

/// Sends the body of the request back.
async fn echo() -> Upstream {
    Upstream::start(|_, seen| {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-mine\r\ncontent-length: {}\r\n\r\n",
            seen.body.len()
        );
        vec![Act::Send([head.into_bytes(), seen.body.clone()].concat())]
    })
    .await
}

#[tokio::test]
async fn bodies_of_0_to_8_mib_pass_both_ways() {
    let upstream = echo().await;
    let gateway = Gateway::to(&upstream.url(), "", "reply: {body_limit: 8MiB}").await;

    for size in [0, 1, 1_000, 65_536, 1 << 20, 8 << 20] {
        let body: Vec<u8> = (0..size).map(|at| (at * 31 % 251) as u8).collect();

        let reply = gateway.ask(Ask::post(body.clone())).await;

        assert_eq!((reply.status, &*reply.content_type), (200, "application/x-mine"), "{size}");
        assert!(reply.body == body && upstream.last().body == body, "{size} bytes have changed");
    }
}

#[tokio::test]
async fn gzip_and_binary_pass_as_they_are() {
    // Not even gzip: nothing may try to read it.
    let packed: &[u8] = b"\x1f\x8b\x08\x00 no gzip at all \xff\x00\r\n";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-type: text/html\r\ncontent-length: {}\r\n\r\n",
        packed.len()
    );
    let upstream = Upstream::answering([head.as_bytes(), packed].concat()).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    let reply = gateway.ask(Ask::post(Bytes::from_static(b"\x00\xff\xfe"))).await;

    assert_eq!((reply.status, &reply.body[..]), (200, packed));
    assert_eq!(reply.headers, [("content-encoding".to_owned(), "gzip".to_owned())]);
    assert_eq!(upstream.last().header("accept-encoding"), None, "it was not asked for");
}

#[tokio::test]
async fn an_answer_over_the_limit_is_a_502_that_says_so() {
    let body = "x".repeat(1_025);
    let upstream = Upstream::answering(ok(&body)).await;
    let gateway = Gateway::to(&upstream.url(), "", "reply: {body_limit: 1KiB}").await;

    let reply = gateway.ask(Ask::get()).await;

    assert_eq!((reply.status, upstream.count()), (502, 1));
    assert!(text(&reply).contains("upstream-answer-too-large"), "{reply:?}");
    assert_eq!(gateway.dead_letters(), 0);
}

#[tokio::test]
async fn an_endless_answer_is_left_at_the_limit() {
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let upstream =
        Upstream::start(|_, _| vec![Act::Send(head.to_vec()), Act::Forever(b"10\r\n0123456789abcdef\r\n")])
            .await;
    let gateway = Gateway::to(&upstream.url(), "", "reply: {body_limit: 100KiB}").await;

    let reply = gateway.ask(Ask::get()).await;

    assert_eq!(reply.status, 502);
    assert!(text(&reply).contains("upstream-answer-too-large"), "{reply:?}");
}

#[tokio::test]
async fn an_answer_shorter_than_it_says_is_no_answer() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nnot a hundred";
    let upstream = Upstream::start(|_, _| vec![Act::Send(cut.to_vec()), Act::Close]).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    let reply = gateway.ask(Ask::post("pay")).await;

    assert_eq!((reply.status, upstream.count()), (504, 1), "{reply:?}");
    assert!(text(&reply).contains("may have been done"), "{reply:?}");
}

#[tokio::test]
async fn an_answer_longer_than_it_says_ends_where_it_says() {
    let long =
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let upstream = Upstream::answering(long.to_vec()).await;
    let gateway = Gateway::to(&upstream.url(), "", "idempotent: true").await;

    for _ in 0..3 {
        let reply = gateway.ask(Ask::get()).await;
        assert_eq!((reply.status, text(&reply).as_str()), (200, "ok"), "of another request");
    }
}
