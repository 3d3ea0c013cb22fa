//! The rows of the status mapping that have an answer.

use std::time::{Duration, Instant};

use streamgate::testing::eventually_async;

use super::gateway::{Ask, Gateway, text};
use super::upstream::{Act, Upstream, empty, ok};

#[tokio::test]
async fn an_answer_is_the_reply_whatever_it_says() {
    let upstream = Upstream::start(|_, seen| {
        let status = seen.line.split(['/', ' ']).nth(2).expect("a path").to_owned();
        vec![Act::Send(empty(&format!("{status} As-It-Is"), "x-mine: 1\r\nlocation: /elsewhere\r\n"))]
    })
    .await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    let statuses =
        [200, 201, 202, 206, 301, 302, 307, 308, 400, 401, 404, 409, 422, 451, 429, 500, 501, 503, 507];
    for (number, status) in (1..).zip(statuses) {
        let reply = gateway.ask(Ask::new("GET", &format!("/{status}"))).await;

        assert_eq!((reply.status, upstream.count()), (status, number), "{reply:?}");
        let header =
            |name: &str| reply.headers.iter().find(|(known, _)| known == name).map(|it| it.1.as_str());
        assert_eq!((header("x-mine"), header("location")), (Some("1"), Some("/elsewhere")), "{reply:?}");
    }
    assert_eq!(gateway.dead_letters(), 0, "a 500 is no dead letter");
}

#[tokio::test]
async fn answers_without_a_body_have_none() {
    let upstream = Upstream::start(|_, seen| {
        vec![Act::Send(match seen.line.split(' ').nth(1) {
            Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            Some("/304") => {
                b"HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 10\r\n\r\n".to_vec()
            }
            _ => b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1000\r\n\r\n".to_vec(),
        })]
    })
    .await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    for (method, path, status) in [("GET", "/204", 204), ("GET", "/304", 304), ("HEAD", "/", 200)] {
        let reply = gateway.ask(Ask::new(method, path)).await;
        assert_eq!((reply.status, reply.body.len()), (status, 0), "{method} {path}: {reply:?}");
    }
}

#[tokio::test]
async fn interim_answers_and_trailers_are_left_out() {
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                  5\r\nhello\r\n0\r\nx-sum: 42\r\n\r\n";
    let upstream = Upstream::answering(answer).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    for _ in 0..2 {
        let reply = gateway.ask(Ask::get()).await;

        assert_eq!((reply.status, text(&reply).as_str()), (200, "hello"));
        let names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.is_empty(), "{names:?}");
    }
}

#[tokio::test]
async fn a_retry_after_that_fits_is_waited_for_on_one_lease() {
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let upstream = Upstream::start(move |number, _| {
            vec![Act::Send(match number {
                1 => empty(status, "retry-after: 3\r\n"),
                _ => ok("now"),
            })]
        })
        .await;
        let gateway = Gateway::to(&upstream.url(), "", "").await;
        let asked = Instant::now();

        let reply = gateway.ask(Ask::post("work")).await;

        // Longer than a lease, so another worker would have claimed it.
        assert!(asked.elapsed() >= Duration::from_secs(3), "{:?}", asked.elapsed());
        assert_eq!((reply.status, text(&reply).as_str(), reply.attempt), (200, "now", 1));
        let attempts: Vec<_> =
            upstream.seen().iter().map(|seen| seen.header("streamgate-attempt").map(str::to_owned)).collect();
        assert_eq!(attempts, [Some("1".to_owned()), Some("2".to_owned())]);
    }
}

#[tokio::test]
async fn a_retry_after_beyond_the_deadline_is_passed_on() {
    let upstream = Upstream::answering(empty("503 Service Unavailable", "retry-after: 100\r\n")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    let reply = gateway.ask(Ask::post("work")).await;

    assert_eq!((reply.status, reply.retry_after), (503, Some(Duration::from_secs(100))));
    assert!(reply.headers.is_empty(), "it travels once: {reply:?}");
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_502_or_504_of_an_upstream_says_nothing_was_learnt() {
    for status in ["502 Bad Gateway", "504 Gateway Timeout"] {
        let upstream = Upstream::answering(empty(status, "")).await;
        let gateway = Gateway::to(&upstream.url(), "", "").await;

        let reply = gateway.ask(Ask::post("pay")).await;

        assert_eq!((reply.status, upstream.count()), (504, 1), "{reply:?}");
        assert!(text(&reply).contains("may have been done"), "{reply:?}");
    }
}

#[tokio::test]
async fn an_idempotent_upstream_is_asked_again_after_502_and_504() {
    let upstream = Upstream::start(|number, _| {
        vec![Act::Send(match number {
            1 => empty("502 Bad Gateway", ""),
            2 => empty("504 Gateway Timeout", ""),
            _ => ok("done"),
        })]
    })
    .await;
    let gateway = Gateway::to(&upstream.url(), "", "honours_idempotency_key: true").await;

    let reply = gateway.ask(Ask::post("pay")).await;

    assert_eq!((reply.status, upstream.count()), (200, 3), "{reply:?}");
    let seen = upstream.seen();
    let keys: Vec<_> = seen.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert!(keys[0].is_some() && keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn an_upstream_that_has_not_taken_it_is_asked_again() {
    for status in ["408 Request Timeout", "425 Too Early"] {
        let upstream = Upstream::start(move |number, _| {
            vec![Act::Send(if number == 1 { empty(status, "") } else { ok("done") })]
        })
        .await;
        let gateway = Gateway::to(&upstream.url(), "", "").await;

        assert_eq!((gateway.ask(Ask::post("work")).await.status, upstream.count()), (200, 2));
        let other = Upstream::answering(empty(status, "")).await;
        let gateway = Gateway::to(&other.url(), "", "").await;
        let reply = gateway.ask(Ask::post("once").at_most_once()).await;
        assert_eq!((reply.status.to_string(), other.count()), (status[..3].to_owned(), 1));
    }
}

#[tokio::test]
async fn each_try_is_counted_by_upstream_and_outcome() {
    let upstream = Upstream::answering(ok("done")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;
    gateway.ask(Ask::get()).await;

    let line = r#"streamgate_upstream_requests_total{upstream="up",outcome="answered"} 1"#;
    eventually_async("the try is counted", async || gateway.proxy.get("/metrics").await.text.contains(line))
        .await;
}
