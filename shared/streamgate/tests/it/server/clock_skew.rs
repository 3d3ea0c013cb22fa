//! A process whose estimate of the server's clock is wrong. Even then, no answer is wrong, no call
//! outlasts its deadline, and no entry stays pending. Once the estimate is right, all works as usual.

use std::time::Duration;

use futures_util::future::join_all;
use streamgate::requester::RequestErrorKind;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::time::Instant;

use crate::counts::Counts;
use crate::harness::{
    Asker, Echo, Gate, LEASE, REPLIES, Worker, redis_skewed, requester_metrics, responder_metrics,
    responder_settings, settled,
};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

async fn skewed_asker(server: &RedisServer, skew_ms: i64) -> Asker {
    Asker::start_on(redis_skewed(server, skew_ms), None, requester_metrics()).await
}

async fn skewed_worker(server: &RedisServer, skew_ms: i64, gate: &Gate) -> Worker {
    Worker::start_on(redis_skewed(server, skew_ms), responder_settings("skewed"), gate.clone()).await
}

fn open_gate() -> Gate {
    let gate = Gate::default();
    gate.open();
    gate
}

/// Checks that 50 callers get their own replies within 30 s.
async fn check_replies(asker: &Asker) {
    let answers = futures_util::future::join_all((0..50).map(|n| asker.ask(n.to_string()))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("an answer").reply.body, n.to_string());
    }
}

#[tokio::test]
async fn no_request_is_sent_before_the_servers_time_is_known() {
    let server = RedisServer::start();
    // Every command works except TIME.
    let _: () = server.command(&["ACL", "SETUSER", "default", "-time"]);
    let asker = Asker::start_unready(&server, None);
    let refused = || server.command::<String>(&["INFO", "errorstats"]);
    eventually_async("the requester asks for the time", async || {
        ["3", "4", "5", "6", "7", "8", "9"].iter().any(|n| refused().contains(&format!("NOPERM:count={n}")))
    })
    .await;

    assert!(!asker.is_ready(), "the clock of this machine may be wrong by hours");
    let error = asker.ask("too early").await.expect_err("its deadline would be a guess");
    assert_eq!(error.kind, RequestErrorKind::Unavailable);
    let _: () = server.command(&["ACL", "SETUSER", "default", "+time"]);
    let _worker = Worker::start(&server, "w1", Echo).await;

    eventually_async("the time is known", async || asker.ask("now").await.is_ok()).await;
}

#[tokio::test]
async fn a_skew_below_the_remaining_time_changes_nothing() {
    for skew in [-5 * SECOND, 5 * SECOND] {
        let server = RedisServer::start();
        let asker = skewed_asker(&server, skew).await;
        let _worker = skewed_worker(&server, -skew, &open_gate()).await;

        check_replies(&asker).await;

        settled(&server).await;
    }
}

#[tokio::test]
async fn a_gateway_that_is_ahead_does_not_delay_its_callers() {
    for skew in [5 * SECOND, MINUTE] {
        let server = RedisServer::start();
        let counts = Counts::default();
        let metrics = counts.declare(requester_metrics);
        let asker = Asker::start_on(redis_skewed(&server, skew), Some("a"), metrics).await;
        let asked = Instant::now();

        let error = asker.ask_within("no worker", Duration::from_millis(300)).await.expect_err("no worker");
        assert_eq!(error.kind, RequestErrorKind::DeadlinePassed);
        assert!(
            asked.elapsed() < Duration::from_secs(3),
            "the deadline of a caller does not depend on the server's clock"
        );

        // The entry seems to have time left, so a worker handles it although its caller has left.
        let gate = open_gate();
        let _worker = Worker::start(&server, "w1", gate.clone()).await;
        eventually_async("the reply is counted as late", async || {
            counts.of("streamgate_replies_late_total") >= 1.0
        })
        .await;
        settled(&server).await;
        assert_eq!(gate.entered(), 1);
        check_replies(&asker).await;
    }
}

#[tokio::test]
async fn requests_of_a_gateway_far_behind_expire_unhandled() {
    let server = RedisServer::start();
    let asker = skewed_asker(&server, -MINUTE).await;
    let gate = open_gate();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;

    let error = asker.ask_within("too old", Duration::from_secs(1)).await.expect_err("dropped");

    assert_eq!(error.kind, RequestErrorKind::DeadlinePassed);
    assert_eq!((gate.entered(), server.command::<u64>(&["XLEN", REPLIES])), (0, 0));
    settled(&server).await;
    check_replies(&Asker::start(&server, Some("sound")).await).await;
}

#[tokio::test]
async fn a_worker_far_ahead_drops_live_work_until_it_is_replaced() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = open_gate();
    let wrong = skewed_worker(&server, MINUTE, &gate).await;

    let error = asker.ask_within("dropped", Duration::from_secs(1)).await.expect_err("dropped");
    assert_eq!((error.kind, gate.entered()), (RequestErrorKind::DeadlinePassed, 0));
    settled(&server).await;
    wrong.stop().await;
    let _right = Worker::start(&server, "right", Echo).await;

    check_replies(&asker).await;
}

#[tokio::test]
async fn a_worker_far_behind_also_handles_expired_requests() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _ = asker.ask_within("gone", Duration::from_millis(50)).await.expect_err("no worker");
    let gate = open_gate();
    let _worker = skewed_worker(&server, -MINUTE, &gate).await;

    check_replies(&asker).await;

    settled(&server).await;
    assert_eq!(gate.entered(), 51, "50 requests and the one whose caller had left");
}

#[tokio::test]
async fn a_skewed_worker_keeps_its_leases() {
    join_all([-MINUTE, MINUTE / 4].map(async |skew| {
        let server = RedisServer::start();
        let asker = Asker::start(&server, None).await;
        let counts = Counts::default();
        let metrics = counts.declare(responder_metrics);
        let gate = Gate::default();
        let _skewed = skewed_worker(&server, skew, &gate).await;
        let idle = gate.clone();

        let (answer, _other) = tokio::join!(asker.ask("slow"), async {
            gate.wait_for(1).await;
            let other = Worker::start_counting(&server, responder_settings("other"), idle, metrics).await;
            let began = Instant::now();
            eventually_async("three leases pass", async || began.elapsed() > 3 * LEASE).await;
            gate.open();
            other
        });

        assert_eq!(answer.expect("an answer").reply.attempt, 1);
        assert!(counts.of("streamgate_claims_total") < 1.0, "the other worker claimed nothing");
        settled(&server).await;
    }))
    .await;
}

#[tokio::test]
async fn a_gateway_far_ahead_trims_no_reply_that_is_waited_for() {
    let server = RedisServer::start();
    let (ahead, right) = (skewed_asker(&server, 10 * MINUTE).await, Asker::start(&server, None).await);
    // The lane is long enough to be trimmed.
    let mut fill = redis::pipe();
    for _ in 0..1_500 {
        fill.cmd("XADD").arg(REPLIES).arg("*").arg("id").arg("x").ignore();
    }
    let client = redis::Client::open(server.url()).expect("a URL");
    fill.query::<()>(&mut client.get_connection().expect("connects")).expect("stored");
    let began = Instant::now();
    // Longer than the period in which a lane is trimmed.
    eventually_async("the lane was checked", async || began.elapsed() > Duration::from_secs(6)).await;

    assert!(server.command::<u64>(&["XLEN", REPLIES]) >= 1_500, "none of them is old");
    let _worker = Worker::start(&server, "w1", Echo).await;
    check_replies(&right).await;
    drop(ahead);
}
