//! An upstream that is down: its queue waits, and nothing is lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use streamgate::requester::RequestError;
use streamgate::testing::eventually_async;
use tokio::net::TcpListener;

use super::gateway::{Ask, Gateway};
use super::upstream::{Act, Upstream, ok};

const REQUESTS: usize = 300;

/// How long the upstream is down. Longer than the handler timeout of other work need not be.
const DOWN: Duration = Duration::from_secs(6);

/// Asks `ask` many times over the outage of an upstream; how often the upstream was asked for each request, and the
/// statuses.
async fn outage(of_upstream: &str, ask: Ask) -> (Gateway, Vec<usize>, Vec<Result<u16, RequestError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let gateway = Gateway::to(&format!("http://{address}"), "", of_upstream).await;
    let first = Upstream::on(listener, |_, _| vec![Act::Send(ok("warm"))]);
    // A requester that has seen a queue refuses early; this one has seen that requests do not wait.
    for _ in 0..64 {
        assert_eq!(gateway.ask(ask.clone()).await.status, 200);
    }
    drop(first);

    let load = join_all((0..REQUESTS).map(|number| {
        let ask = Ask { body: number.to_string().into(), ..ask.clone() };
        let gateway = &gateway;
        async move {
            tokio::time::sleep(DOWN / 2 * number as u32 / REQUESTS as u32).await;
            gateway.asker.try_ask(ask).await.map(|reply| reply.status)
        }
    }));
    let (statuses, upstream) = tokio::join!(load, async {
        tokio::time::sleep(DOWN).await;
        // The first connection may linger in the port.
        let mut bound = None;
        eventually_async("the port is free", async || {
            bound = TcpListener::bind(address).await.ok();
            bound.is_some()
        })
        .await;
        Upstream::on(bound.expect("bound"), |_, _| vec![Act::Send(ok("done"))])
    });

    let seen = upstream.seen();
    let count = |number: usize| seen.iter().filter(|seen| seen.body == number.to_string().as_bytes()).count();
    (gateway, (0..REQUESTS).map(count).collect(), statuses)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_shorter_than_the_deadlines_fails_nothing() {
    for ask in [Ask::post(""), Ask::post("").at_most_once()] {
        let (gateway, counts, statuses) = outage("breaker: {failures: 50%, of: 20, open: 500ms}", ask).await;

        let failed: Vec<_> = statuses.iter().filter(|status| **status != Ok(200)).collect();
        assert!(failed.is_empty(), "{} of {REQUESTS} failed: {:?}", failed.len(), failed[0]);
        assert!(counts.iter().all(|count| *count == 1), "each is done once: {counts:?}");
        assert_eq!(gateway.dead_letters(), 0);
        eventually_async("all are settled", async || {
            let group = gateway.proxy.get("/streams/jobs").await.json()["groups"][0].clone();
            group["pending"] == 0 && group["lag"] == 0
        })
        .await;
    }
}

#[tokio::test]
async fn an_open_breaker_leaves_entries_on_the_stream() {
    let down = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = down.local_addr().expect("bound");
    drop(down);
    let rules = "breaker: {failures: 50%, of: 2, open: 1m}";
    let gateway = Arc::new(Gateway::to(&format!("http://{address}"), "", rules).await);
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(async move { gateway.asker.try_ask(Ask::post("wait")).await })
        })
        .collect();

    let report = || async { gateway.proxy.get("/healthz").await };
    eventually_async("the breaker opens", async || report().await.text.contains(r#""up":"open""#)).await;
    // A request that is sent later stays unread.
    let late = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.asker.try_ask(Ask::post("late")).await }
    });
    eventually_async("all are stored", async || gateway.server.command::<u64>(&["XLEN", "jobs"]) == 51).await;
    let stream = gateway.proxy.get("/streams/jobs").await.json();

    assert!(stream["groups"][0]["lag"].as_u64() >= Some(1), "{stream}");
    let served = gateway.proxy.get("/streams").await.json();
    let jobs = served.as_array().and_then(|all| all.iter().find(|it| it["name"] == "jobs")).expect("served");
    assert_eq!((&jobs["paused"], &jobs["upstreams"][0]), (&true.into(), &"up".into()), "{served}");
    let health = report().await;
    assert_eq!((health.status, &health.json()["status"]), (200, &"degraded".into()));
    assert_eq!(gateway.proxy.get("/readyz").await.status, 200, "another worker would have the same problem");
    let consumers = &stream["groups"][0]["consumers"];
    assert!(consumers.as_array().is_some_and(|all| all.iter().all(|it| it["alive"] == true)), "{stream}");

    // A change of the upstream applies at once, although the breaker would be open for a minute.
    let upstream = Upstream::answering(ok("done")).await;
    gateway.file.write(&super::gateway::one_route(&upstream.url(), "", rules));
    for task in waiting.into_iter().chain([late]) {
        assert_eq!(task.await.expect("joins").expect("a reply").status, 200);
    }
    assert_eq!((upstream.count(), gateway.dead_letters()), (51, 0));
}

#[tokio::test]
async fn one_request_at_a_time_probes_a_half_open_upstream() {
    let upstream = Upstream::start(|number, _| match number {
        // It hangs long enough for others to come.
        1..=6 => vec![Act::Wait(Duration::from_millis(100)), Act::Send(super::upstream::empty("503 No", ""))],
        _ => vec![Act::Send(ok("done"))],
    })
    .await;
    let rules = "breaker: {failures: 100%, of: 1, open: 200ms}";
    let gateway = Gateway::to(&upstream.url(), "", rules).await;
    assert_eq!(gateway.ask(Ask::post("opens it")).await.status, 503);

    let statuses = join_all((0..40).map(|_| gateway.ask(Ask::post("waits")))).await;

    // Requests 2 to 6 were probes: each failed alone, while all others waited.
    let failed = statuses.iter().filter(|reply| reply.status == 503).count();
    assert_eq!((failed, upstream.count()), (5, 41), "{failed} failed");
}
