//! Several streams and priorities in one process.

use std::time::Duration;

use futures_util::future::join_all;
use streamgate::testing::{RedisServer, eventually_async};

use super::gateway::{Ask, Asker, Gateway, RoutesFile};
use super::upstream::{Act, Upstream, ok};
use crate::harness::Proxy;

fn routes(slow: &str, fast: &str) -> String {
    format!(
        "version: 1
routes:
  - {{id: slow, match: {{method: POST, path: /slow}}, stream: slow, upstream: slow, priority: high}}
  - {{id: fast, match: {{method: POST, path: /fast}}, stream: fast, upstream: fast}}
  - {{id: rain, match: {{method: POST, path: /rain}}, stream: rain, handler: weather}}
  - {{id: other, match: {{method: POST, path: /other}}, stream: other, handler: external}}
upstreams:
  slow: {{url: '{slow}'}}
  fast: {{url: '{fast}'}}
"
    )
}

#[tokio::test]
async fn each_stream_is_served_and_shown_by_its_own_name() {
    let upstream = Upstream::answering(ok("done")).await;
    let gateway = Gateway::start(&routes(&upstream.url(), &upstream.url())).await;

    for (stream, route) in [("slow.high", "slow"), ("slow", "slow"), ("slow.low", "slow"), ("fast", "fast")] {
        assert_eq!(gateway.ask(Ask::post("x").on(stream, route)).await.status, 200, "{stream}");
    }
    let weather = Ask::post(r#"{"city":"Berlin"}"#).on("rain", "rain");
    assert_eq!(gateway.ask(weather).await.status, 200);

    let served = gateway.proxy.get("/streams").await.json();
    let names: Vec<&str> =
        served.as_array().expect("a list").iter().filter_map(|it| it["name"].as_str()).collect();
    let priorities = |stream: &str| [stream.to_owned(), format!("{stream}.high"), format!("{stream}.low")];
    assert_eq!(names, ["fast", "rain", "slow"].map(priorities).concat());
    assert_eq!(gateway.proxy.get("/streams/slow.high").await.json()["length"], 1);
    gateway.proxy.get("/streams/other").await.assert_problem(404);
    let metrics = gateway.proxy.get("/metrics").await.text;
    for stream in ["fast", "rain", "slow.high"] {
        let replies = format!(r#"streamgate_replies_total{{stream="{stream}",group="#);
        assert!(metrics.contains(&replies), "{replies} is not in:\n{metrics}");
    }
    gateway.proxy.get("/dead-letters").await.assert_problem(400);
    assert_eq!(gateway.proxy.get("/dead-letters?stream=slow.high").await.json()["total"], 0);
    gateway.proxy.get("/dead-letters?stream=other").await.assert_problem(404);
}

#[tokio::test]
async fn only_the_chosen_streams_are_served() {
    let upstream = Upstream::answering(ok("done")).await;
    let routes = routes(&upstream.url(), &upstream.url());
    let gateway = Gateway::start_with(&routes, &["--only", "fast"]).await;

    assert_eq!(gateway.ask(Ask::post("x").on("fast", "fast")).await.status, 200);

    let served = gateway.proxy.get("/streams").await.json();
    assert_eq!(served.as_array().map(Vec::len), Some(3), "{served}");
}

#[tokio::test]
async fn a_stream_whose_upstream_hangs_does_not_stop_the_others() {
    let hanging = Upstream::start(|_, _| vec![Act::Hang]).await;
    let fast = Upstream::answering(ok("done")).await;
    let gateway =
        Gateway::start_with(&routes(&hanging.url(), &fast.url()), &["--worker-concurrency", "4"]).await;
    let stuck =
        join_all((0..20).map(|_| {
            gateway.asker.try_ask(Ask::post("x").on("slow", "slow").within(Duration::from_secs(8)))
        }));

    let (_, replies) = tokio::join!(stuck, async {
        eventually_async("all slots are taken", async || hanging.count() >= 4).await;
        let mut replies = Vec::new();
        for _ in 0..10 {
            let ask = Ask::post("x").on("fast", "fast").within(Duration::from_secs(4));
            replies.push(gateway.asker.try_ask(ask).await);
        }
        replies
    });

    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.status == 200)), "{replies:?}");
    // The fast stream may hold one entry over the limit.
    assert!(hanging.count() <= 20);
}

#[tokio::test]
async fn an_upstream_gets_no_more_requests_at_once_than_it_wants() {
    let upstream =
        Upstream::start(|_, _| vec![Act::Wait(Duration::from_millis(20)), Act::Send(ok("done"))]).await;
    let gateway = Gateway::to(&upstream.url(), "", "concurrency: 3").await;

    let replies = join_all((0..60).map(|_| gateway.ask(Ask::post("x")))).await;

    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!((upstream.count(), upstream.most_at_once()), (60, 3));
}

#[tokio::test]
async fn waiting_entries_are_taken_8_to_4_to_1() {
    // One request at a time, so that the order of the requests is that of the taking. The first takes so long that all
    // queues ask for the next slot.
    let upstream = Upstream::start(|number, _| match number {
        1 => vec![Act::Wait(Duration::from_secs(1)), Act::Send(ok("done"))],
        _ => vec![Act::Send(ok("done"))],
    })
    .await;
    let server = RedisServer::start();
    let file = RoutesFile::new(&routes(&upstream.url(), &upstream.url()));
    let path = file.path();
    let asker = Asker::new(&server);
    let of = |stream: &'static str| {
        let ask = Ask { body: stream.into(), ..Ask::post("").on(stream, "slow") };
        (0..130).map(move |_| ask.clone())
    };
    let asks = of("slow.low").chain(of("slow")).chain(of("slow.high"));

    let (replies, _proxy) = tokio::join!(join_all(asks.map(|ask| asker.ask(ask))), async {
        eventually_async("all are stored", async || {
            ["slow.low", "slow", "slow.high"]
                .iter()
                .all(|stream| server.command::<u64>(&["XLEN", stream]) == 130)
        })
        .await;
        let flags = ["--routes-file", path.to_str().expect("text"), "--worker-concurrency", "1"];
        Proxy::ready(&server, &[&flags[..], &["--only", "slow"]].concat()).await
    });

    assert!(replies.iter().all(|reply| reply.status == 200));
    let seen = upstream.seen();
    let order: Vec<&[u8]> = seen.iter().map(|seen| seen.body.as_slice()).collect();
    let count = |part: &[&[u8]], stream: &str| part.iter().filter(|of| **of == stream.as_bytes()).count();
    // From the moment at which each queue was seen: all three have waiting entries.
    let start = (1..=order.len())
        .find(|end| ["slow.low", "slow", "slow.high"].iter().all(|stream| count(&order[..*end], stream) > 0));
    let part = &order[start.expect("all were taken")..][..65];
    let (high, normal, low) = (count(part, "slow.high"), count(part, "slow"), count(part, "slow.low"));
    assert!(
        (36..=44).contains(&high) && (16..=24).contains(&normal) && (2..=8).contains(&low),
        "{high}:{normal}:{low}"
    );
}
