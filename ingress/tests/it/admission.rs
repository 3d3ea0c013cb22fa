use std::time::Duration;

use futures_util::future::join_all;
use streamgate::testing::{RedisServer, eventually_async};

use crate::harness::{Answer, BERLIN, Ingress, Worker, stored};

const SHORT_GRACE: [&str; 2] = ["--consumer-grace", "1s"];

/// Waits until ingress knows that no worker is there.
async fn wait_for_no_worker(ingress: &Ingress) {
    eventually_async("ingress knows", || async { ingress.get("/healthz").await.status == 503 }).await;
}

#[tokio::test]
async fn without_a_worker_nothing_is_stored_after_the_grace() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    wait_for_no_worker(&ingress).await;

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
async fn requests_are_accepted_again_once_a_worker_starts() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    wait_for_no_worker(&ingress).await;

    let _worker = Worker::start(&server).await;

    eventually_async("callers are answered", || async { ingress.forecast(BERLIN).await.status == 200 }).await;
}

#[tokio::test]
async fn callers_wait_while_a_worker_may_be_restarting() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    start_and_stop_a_worker(&server, &ingress).await;

    let early = ingress.spawn_forecast();
    eventually_async("the caller waits", || async { ingress.pending().await == 1 }).await;
    let _worker = Worker::start(&server).await;

    assert_eq!(early.await.expect("joins").status, 200);
}

#[tokio::test]
async fn callers_are_refused_at_once_if_there_was_never_a_worker() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    wait_for_no_worker(&ingress).await;

    let refused = ingress.forecast(BERLIN).await;

    refused.assert_unavailable();
    assert!(refused.text.contains("nothing was done"), "{refused:?}");
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn a_waiting_caller_gets_503_when_the_grace_is_over() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--consumer-grace", "2s"]).await;
    start_and_stop_a_worker(&server, &ingress).await;

    let refused = ingress.forecast(BERLIN).await;

    refused.assert_unavailable();
    assert!(refused.text.contains("nothing was done"), "{refused:?}");
    assert_eq!(refused.header("retry-after"), Some("5"));
}

/// Starts a worker, and waits until it has answered and left.
async fn start_and_stop_a_worker(server: &RedisServer, ingress: &Ingress) {
    let worker = Worker::start(server).await;
    eventually_async("callers are answered", || async { ingress.forecast(BERLIN).await.status == 200 }).await;
    drop(worker);
    let gone = || async { ingress.get("/healthz").await.json()["workersAlive"] == 0 };
    eventually_async("the worker left", gone).await;
}

/// Sends 10 requests every 20 ms, `rounds` times, without waiting for answers.
async fn offer(ingress: &Ingress, rounds: usize) -> Vec<Answer> {
    let mut calls = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..rounds {
        ticks.tick().await;
        calls.extend((0..10).map(|_| ingress.spawn_forecast()));
    }
    join_all(calls).await.into_iter().map(|answer| answer.expect("joins")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_answered_in_time_are_shed() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &["--request-timeout", "1s"]).await;
    // 4 at once, 40 ms each: 100 requests per second. The callers send 500 per second.
    let worker = Worker::slow(&server, 4, Duration::from_millis(40)).await;

    let mut answers = Vec::new();
    let is_shed = |answer: &Answer| answer.text.contains("the queue is too long");
    // How many are shed depends on the machine, that some are shed does not.
    for _ in 0..20 {
        answers.extend(offer(&ingress, 50).await);
        if answers.iter().any(|answer| answer.status == 200) && answers.iter().any(is_shed) {
            break;
        }
    }

    let shed = answers.iter().filter(|answer| is_shed(answer)).count();
    answers.iter().filter(|answer| answer.status == 503).for_each(Answer::assert_unavailable);
    assert!(shed > 0 && answers.iter().any(|answer| answer.status == 200), "{shed} of {}", answers.len());
    assert!(worker.started() <= answers.len() - shed, "no worker gets a request that is shed");
    assert!(stored(&server) <= (answers.len() - shed) as u64, "a request that is shed is not stored");
    eventually_async("requests are accepted when the queue is short again", || async {
        ingress.forecast(BERLIN).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn refusals_are_counted_by_reason() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &SHORT_GRACE).await;
    wait_for_no_worker(&ingress).await;

    ingress.forecast(BERLIN).await.assert_unavailable();
    let metrics = ingress.get_admin("/metrics").await;

    let counted = r#"streamgate_requests_refused_total{stream="weather-requests",reason="no_worker"} 1"#;
    assert!(metrics.text.contains(counted), "{metrics:?}");
    assert!(metrics.text.contains(r#"streamgate_workers_alive{stream="weather-requests"} 0"#), "{metrics:?}");
}
