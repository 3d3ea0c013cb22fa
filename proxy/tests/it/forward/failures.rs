//! The rows of the status mapping that have no answer.

use std::time::Duration;

use streamgate::testing::eventually_async;
use tokio::net::TcpListener;

use super::gateway::{Ask, Gateway, text};
use super::upstream::{Act, Upstream, ok};

/// A breaker that does not open in a test that is not about it.
const NO_BREAKER: &str = "breaker: {failures: 100%, of: 10000, open: 1s}";

#[tokio::test]
async fn a_refused_request_is_sent_once_the_upstream_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let gateway = Gateway::to(&format!("http://{address}"), "", NO_BREAKER).await;

    let (reply, upstream) = tokio::join!(gateway.ask(Ask::post("pay").at_most_once()), async {
        let refused = r#"streamgate_upstream_requests_total{upstream="up",outcome="unreachable"} 0"#;
        eventually_async("a try is refused", async || {
            let metrics = gateway.proxy.get("/metrics").await.text;
            metrics.contains("outcome=\"unreachable\"") && !metrics.contains(refused)
        })
        .await;
        let listener = TcpListener::bind(address).await.expect("the port is still free");
        Upstream::on(listener, |_, _| vec![Act::Send(ok("done"))])
    });

    assert_eq!((reply.status, upstream.count()), (200, 1), "{reply:?}");
}

#[tokio::test]
async fn what_cannot_be_reached_until_its_deadline_is_a_504() {
    // The first refuses, the second has no address (RFC 6761).
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let refusing = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    for url in [refusing.as_str(), "http://nowhere.invalid"] {
        let gateway = Gateway::to(url, "", NO_BREAKER).await;

        let reply = gateway.ask(Ask::post("pay").within(Duration::from_secs(2))).await;

        assert_eq!(reply.status, 504, "{reply:?}");
        assert!(text(&reply).contains("nothing was sent"), "{reply:?}");
        assert_eq!(gateway.dead_letters(), 0);
    }
}

#[tokio::test]
async fn another_address_of_a_name_is_tried() {
    // Of localhost's addresses, 127.0.0.1 alone listens.
    let upstream = Upstream::answering(ok("done")).await;
    let url = format!("http://localhost:{}", upstream.address.port());
    let gateway = Gateway::to(&url, "", NO_BREAKER).await;

    assert_eq!(gateway.ask(Ask::get()).await.status, 200);
}

#[tokio::test]
async fn a_closed_idle_connection_costs_no_request() {
    let upstream = Upstream::start(|_, _| vec![Act::Send(ok("done")), Act::Reset]).await;
    let gateway = Gateway::to(&upstream.url(), "", NO_BREAKER).await;

    for number in 1..=20 {
        let reply = gateway.ask(Ask::post("pay")).await;

        assert_eq!((reply.status, upstream.count()), (200, number), "{reply:?}");
        // A request that crosses the reset would be one without an answer.
        eventually_async("the reset has arrived", async || connections_to(upstream.address.port()) == 0)
            .await;
    }
}

/// The number of open connections of this machine to a port of it.
fn connections_to(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux");
    let remote = format!(":{port:04X}");
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let rows = table.lines().skip(1).map(fields);
    rows.filter(|row| row[2].ends_with(&remote) && row[3] == "01").count()
}

/// Resets, closings and a hang after the request was read, before and after the first byte of the answer.
fn without_an_answer() -> Vec<(&'static str, Vec<Act>)> {
    let begun = || Act::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome".to_vec());
    vec![
        ("reset", vec![Act::Reset]),
        ("closed", vec![Act::Close]),
        ("hanging", vec![Act::Hang]),
        ("garbage", vec![Act::Send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec()), Act::Close]),
        ("reset within the answer", vec![begun(), Act::Reset]),
        ("hanging within the answer", vec![begun(), Act::Hang]),
    ]
}

#[tokio::test]
async fn what_was_sent_and_got_no_answer_is_not_sent_again() {
    for (what, acts) in without_an_answer() {
        let upstream = Upstream::start(move |_, _| acts.clone()).await;
        let gateway = Gateway::to(&upstream.url(), "", &format!("timeout: 500ms\n    {NO_BREAKER}")).await;

        let reply = gateway.ask(Ask::post("pay")).await;

        assert_eq!((reply.status, upstream.count()), (504, 1), "{what}: {reply:?}");
        assert!(text(&reply).contains("may have been done"), "{what}: {reply:?}");
        assert_eq!(gateway.dead_letters(), 0);
    }
}

#[tokio::test]
async fn what_does_no_harm_is_sent_again_until_it_is_answered() {
    for (what, acts) in without_an_answer() {
        let upstream = Upstream::start(move |number, _| match number {
            1 | 2 => acts.clone(),
            _ => vec![Act::Send(ok("done"))],
        })
        .await;
        let rules = format!("timeout: 500ms\n    idempotent: true\n    {NO_BREAKER}");
        let gateway = Gateway::to(&upstream.url(), "", &rules).await;

        let reply = gateway.ask(Ask::post("look")).await;

        assert_eq!((reply.status, upstream.count()), (200, 3), "{what}: {reply:?}");
    }
}

#[tokio::test]
async fn at_most_once_is_not_sent_again_even_if_idempotent() {
    let upstream = Upstream::start(|_, _| vec![Act::Reset]).await;
    let gateway = Gateway::to(&upstream.url(), "", &format!("idempotent: true\n    {NO_BREAKER}")).await;

    let reply = gateway.ask(Ask::post("pay").at_most_once()).await;

    assert_eq!((reply.status, upstream.count()), (504, 1), "{reply:?}");
}

#[tokio::test]
async fn a_slow_answer_within_the_timeout_is_an_answer() {
    let [first, second] = [&ok("done")[..10], &ok("done")[10..]].map(<[u8]>::to_vec);
    let pause = || Act::Wait(Duration::from_millis(300));
    let acts = vec![pause(), Act::Send(first), pause(), Act::Send(second)];
    let upstream = Upstream::start(move |_, _| acts.clone()).await;
    let gateway = Gateway::to(&upstream.url(), "", "timeout: 10s").await;

    let reply = gateway.ask(Ask::post("work")).await;

    assert_eq!((reply.status, text(&reply).as_str()), (200, "done"));
}

#[tokio::test]
async fn a_hanging_upstream_is_left_before_the_deadline() {
    let upstream = Upstream::start(|_, _| vec![Act::Hang]).await;
    let gateway = Gateway::to(&upstream.url(), "", "timeout: 1m").await;

    // A reply at the deadline would be no reply: then the asker itself ends the wait, with an error.
    let reply = gateway.ask(Ask::post("work").within(Duration::from_secs(2))).await;

    assert_eq!((reply.status, upstream.count()), (504, 1), "{reply:?}");
}

#[tokio::test]
async fn a_target_that_leaves_its_route_is_not_sent() {
    let upstream = Upstream::answering(ok("secret")).await;
    let gateway = Gateway::to(&upstream.url(), "", "").await;

    for target in ["/a/../../admin", "/%2e%2e/admin"] {
        let reply = gateway.ask(Ask::new("GET", target)).await;
        assert_eq!((reply.status, upstream.count()), (400, 0), "{target}: {reply:?}");
    }
}
