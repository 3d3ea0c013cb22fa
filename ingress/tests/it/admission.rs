use std::time::Duration;

use futures_util::future::join_all;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{BERLIN, Heard, Ingress, Worker, stored};

const SHORT_GRACE: [&str; 2] = ["--consumer-grace", "1s"];

/// Waits until the ingress knows that no worker is there.
async fn nobody_works(ingress: &Ingress) {
    eventually_async("it is known", || async { ingress.get("/healthz").await.status == 503 }).await;
}

#[tokio::test]
async fn without_a_worker_nothing_is_stored_after_the_grace_period() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    nobody_works(&ingress).await;

    let refused = ingress.forecast(BERLIN).await;
    let health = ingress.get("/healthz").await;
    let ready = ingress.get("/readyz").await;

    refused.assert_unavailable();
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(refused.text.contains("no worker is there"), "{refused:?}");
    assert_eq!(
        (health.json()["status"].as_str(), health.json()["workersAlive"].as_u64()),
        (Some("degraded"), Some(0))
    );
    assert_eq!(ready.status, 200, "other replicas would see no worker either");
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn a_worker_that_comes_opens_the_gate_again() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    nobody_works(&ingress).await;

    let _worker = Worker::start(&server).await;

    eventually_async("callers are answered", || async { ingress.forecast(BERLIN).await.status == 200 }).await;
}

#[tokio::test]
async fn callers_wait_for_a_worker_that_may_just_be_restarting() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    a_worker_was_here(&server, &ingress).await;

    let early = ingress.spawn_forecast();
    eventually_async("it waits", || async { ingress.pending().await == 1 }).await;
    let _worker = Worker::start(&server).await;

    assert_eq!(early.await.expect("joins").status, 200);
}

#[tokio::test]
async fn callers_are_refused_at_once_if_there_was_never_a_worker() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    nobody_works(&ingress).await;

    let refused = ingress.forecast(BERLIN).await;

    refused.assert_unavailable();
    assert!(refused.text.contains("nothing was done"), "{refused:?}");
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn a_caller_is_told_when_the_grace_period_is_over() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--consumer-grace", "2s"]).await;
    a_worker_was_here(&server, &ingress).await;

    let told = ingress.forecast(BERLIN).await;

    told.assert_unavailable();
    assert!(told.text.contains("nothing was done"), "{told:?}");
    assert_eq!(told.header("retry-after"), Some("5"));
}

/// Waits until a worker came, answered and left.
async fn a_worker_was_here(server: &RedisServer, ingress: &Ingress) {
    let worker = Worker::start(server).await;
    eventually_async("callers are answered", || async { ingress.forecast(BERLIN).await.status == 200 }).await;
    drop(worker);
    let gone = || async { ingress.get("/healthz").await.json()["workersAlive"] == 0 };
    eventually_async("the worker left", gone).await;
}

/// Ten calls every 20 ms for `rounds`, whether or not the earlier ones are answered.
async fn offer(ingress: &Ingress, rounds: usize) -> Vec<Heard> {
    let mut calls = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..rounds {
        ticks.tick().await;
        calls.extend((0..10).map(|_| ingress.spawn_forecast()));
    }
    join_all(calls).await.into_iter().map(|heard| heard.expect("joins")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_can_be_done_in_time_is_refused_and_never_done() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--request-timeout", "1s"]).await;
    // 4 at once, 40 ms each: about 100 a second, a fifth of what is offered.
    let worker = Worker::slow(&server, 4, Duration::from_millis(40)).await;

    let heard = offer(&ingress, 150).await;

    let with = |status| heard.iter().filter(|heard| heard.status == status).count();
    let shed = heard.iter().filter(|heard| heard.text.contains("the queue is too long")).count();
    heard.iter().filter(|heard| heard.status == 503).for_each(Heard::assert_unavailable);
    assert!(
        with(200) > 0 && shed > heard.len() / 2,
        "{} answered, {shed} shed, {} too late",
        with(200),
        with(504)
    );
    assert!(worker.worked() <= heard.len() - shed, "what is shed is not worked on");
    assert!(stored(&server) <= (heard.len() - shed) as u64, "nor even stored");
    eventually_async("a lull opens the gate", || async { ingress.forecast(BERLIN).await.status == 200 })
        .await;
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    nobody_works(&ingress).await;

    ingress.forecast(BERLIN).await.assert_unavailable();
    let metrics = ingress.get_admin("/metrics").await;

    let counted = r#"streamgate_requests_refused_total{stream="weather-requests",reason="no_worker"} 1"#;
    assert!(metrics.text.contains(counted), "{metrics:?}");
    assert!(metrics.text.contains(r#"streamgate_workers_alive{stream="weather-requests"} 0"#), "{metrics:?}");
}
