//! Callers without a worker: there was never one, it has left, or it comes back.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use streamgate::requester::RequestErrorKind;
use streamgate::testing::{RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{Asker, Echo, GROUP, REQUESTS, Worker, pending, requester_metrics};

const GRACE: Duration = Duration::from_secs(2);

/// A grace that is longer than every test.
const LONG: Duration = Duration::from_secs(3_600);

async fn asker(server: &RedisServer, grace: Duration) -> (Asker, Counts) {
    let counts = Counts::default();
    let metrics = counts.declare(requester_metrics);
    (Asker::watching_workers(server, grace, metrics).await, counts)
}

async fn wait_until_alive(asker: &Asker, alive: usize) {
    eventually_async("the requester knows", async || asker.destination.workers_alive() == Some(alive)).await;
}

/// Starts a worker, and waits until it has replied once and left.
async fn start_and_stop_a_worker(server: &RedisServer, asker: &Asker) {
    let worker = Worker::start(server, "w", Echo).await;
    wait_until_alive(asker, 1).await;
    asker.ask("x").await.expect("answered");
    worker.stop().await;
    wait_until_alive(asker, 0).await;
}

fn stored(server: &RedisServer) -> usize {
    server.ids_on(REQUESTS).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn if_there_was_never_a_worker_callers_are_refused_at_once() {
    let server = RedisServer::start();
    let (asker, _) = asker(&server, LONG).await;
    wait_until_alive(&asker, 0).await;

    let refused = asker.ask("x").await.expect_err("no worker");

    assert_eq!(refused.kind, RequestErrorKind::NoWorker);
    assert_eq!(stored(&server), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_consumers_counts_as_no_worker() {
    let server = RedisServer::start();
    let () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0", "MKSTREAM"]);
    let (asker, _) = asker(&server, LONG).await;
    wait_until_alive(&asker, 0).await;

    let refused = asker.ask("x").await.expect_err("no worker");

    assert_eq!((refused.kind, stored(&server)), (RequestErrorKind::NoWorker, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_is_not_counted_any_more() {
    let server = RedisServer::start();
    let (asker, _) = asker(&server, LONG).await;
    let (one, two) = (Worker::start(&server, "1", Echo).await, Worker::start(&server, "2", Echo).await);
    wait_until_alive(&asker, 2).await;

    one.stop().await;
    wait_until_alive(&asker, 1).await;
    two.stop().await;
    wait_until_alive(&asker, 0).await;

    assert!(!asker.destination.workers_are_absent(), "the grace period is not over");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_worker_reads_are_taken_back() {
    let server = RedisServer::start();
    let (asker, counts) = asker(&server, GRACE).await;
    start_and_stop_a_worker(&server, &asker).await;
    let before = stored(&server);

    let started = Instant::now();
    let answers = join_all((0..250).map(|_| asker.ask("x"))).await;

    for answer in answers {
        let refused = answer.expect_err("no worker");
        assert_eq!(refused.kind, RequestErrorKind::NoWorker);
        assert_eq!(refused.retry_after, Some(Duration::from_secs(5)));
    }
    assert!(started.elapsed() < Duration::from_secs(25), "long before the deadline");
    assert_eq!(stored(&server), before, "all 250 requests are removed");
    assert_eq!(counts.of("streamgate_requests_taken_back_total"), 250.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_gateways_are_not_taken_back() {
    let server = RedisServer::start();
    let (asker, _) = asker(&server, GRACE).await;
    start_and_stop_a_worker(&server, &asker).await;
    let _: String = server.command(&["XADD", REQUESTS, "*", "id", "foreign", "body", "x"]);

    let refused = asker.ask("x").await.expect_err("no worker");

    assert_eq!(refused.kind, RequestErrorKind::NoWorker);
    assert_eq!(server.ids_on(REQUESTS).last().map(String::as_str), Some("foreign"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_comes_back_in_time_replies_to_all() {
    let server = RedisServer::start();
    let (asker, counts) = asker(&server, LONG).await;
    start_and_stop_a_worker(&server, &asker).await;
    let before = stored(&server);

    let asking = join_all((0..20).map(|_| asker.ask("x")));
    let (answers, worker) = join(asking, async {
        eventually_async("all requests are stored", async || stored(&server) == before + 20).await;
        Worker::start(&server, "w", Echo).await
    })
    .await;

    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(counts.of("streamgate_requests_taken_back_total"), 0.0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivered_request_is_not_taken_back() {
    let server = RedisServer::start();
    let (asker, _) = asker(&server, GRACE).await;
    start_and_stop_a_worker(&server, &asker).await;
    let before = stored(&server);

    let (delivered, ()) = join(asker.ask("delivered"), async {
        eventually_async("the request is stored", async || stored(&server) > before).await;
        let read = ["XREADGROUP", "GROUP", GROUP, "dead", "STREAMS", REQUESTS, ">"];
        let _: redis::Value = server.command(&read);
        let undelivered = asker.ask("undelivered").await.expect_err("no worker");
        assert_eq!(undelivered.kind, RequestErrorKind::NoWorker);
        assert_eq!((pending(&server), stored(&server), asker.requester.pending()), (1, before + 1, 1));
        Worker::start(&server, "v", Echo).await.forget();
    })
    .await;

    assert_eq!(delivered.expect("its caller still waited").reply.attempt, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_requests_that_are_not_trimmed_are_reported() {
    for (id, finished, expected) in [("1-1", true, 1.0), ("1-1", false, 0.0), ("*", true, 0.0)] {
        let server = RedisServer::start();
        let id: String = server.command(&["XADD", REQUESTS, id, "body", "x"]);
        let () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0"]);
        let read = ["XREADGROUP", "GROUP", GROUP, "w", "STREAMS", REQUESTS, ">"];
        let _: redis::Value = server.command(&read);
        if finished {
            let _: u64 = server.command(&["XACK", REQUESTS, GROUP, &id]);
        }

        let (asker, counts) = asker(&server, LONG).await;
        wait_until_alive(&asker, 1).await;

        let reported = async || counts.of("streamgate_request_stream_untrimmed") == expected;
        eventually_async("the metric is set", reported).await;
    }
}
