use std::time::Duration;

use streamgate::envelope::CorrelationId;
use streamgate::requester::RequestErrorKind;
use streamgate::resilience::BreakerState;
use streamgate::testing::{RedisServer, eventually_async};

use crate::counts::Counts;
use crate::harness::{
    Asker, Echo, GROUP, Gate, LEASE, REPLIES, REQUESTS, Worker, pending, responder_metrics,
    responder_settings, server_time_ms, settled,
};
use crate::load::heals_after;

/// Waits for `entered` requests, fills the memory of Redis, and lets the handlers end. Returns once Redis
/// has refused a reply.
async fn open_without_memory(server: &RedisServer, gate: &Gate, entered: usize) {
    gate.wait_for(entered).await;
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    gate.open();
    eventually_async("a reply is refused", async || {
        server.command::<String>(&["INFO", "errorstats"]).contains("errorstat_OOM")
    })
    .await;
}

#[tokio::test]
async fn a_reply_refused_without_memory_is_stored_later() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("keep me"), async {
        open_without_memory(&server, &gate, 1).await;
        assert_eq!(pending(&server), 1, "not acknowledged before its reply is stored");
        let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    });

    assert_eq!(&answer.expect("an answer").reply.body[..], b"keep me");
    assert_eq!(gate.entered(), 1, "the work was done once");
    settled(&server).await;
}

#[tokio::test]
async fn a_lane_whose_first_reply_was_refused_gets_a_time_to_live() {
    let server = RedisServer::start();
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    let id = "0191f3a0-0000-7000-8000-000000000000";
    let lane = format!("{REPLIES}.gone");
    let _: String = server.command(&["XADD", REQUESTS, "*", "id", id, "reply_to", &lane, "body", "x"]);
    open_without_memory(&server, &gate, 1).await;

    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    settled(&server).await;

    assert!(
        server.command::<i64>(&["TTL", &lane]) > 0,
        "no gateway reads this lane, so it would stay for ever"
    );
}

#[tokio::test]
async fn a_request_refused_without_memory_is_refused_at_once() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "1"]);

    let error = asker.ask("no room").await.expect_err("refused");

    assert_eq!(error.kind, RequestErrorKind::Unavailable);
    assert!(error.retry_after.is_some());
    assert_eq!(asker.requester.pending(), 0);
}

#[tokio::test]
async fn a_lane_of_another_type_makes_a_dead_letter() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("good")).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    let _: () = server.command(&["SET", "replies.bad", "a string"]);
    let id = "0191f3a0-0000-7000-8000-000000000000";
    let _: String =
        server.command(&["XADD", REQUESTS, "*", "id", id, "reply_to", "replies.bad", "body", "x"]);

    assert_eq!(asker.ask("fine").await.expect("an answer").reply.status, 200);

    eventually_async("the other is a dead letter", async || {
        let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
        letters.len() == 1 && letters[0].1[1].starts_with("reply refused: ")
    })
    .await;
    settled(&server).await;
}

#[tokio::test]
async fn a_refused_reply_entry_makes_dead_letters_of_its_replies() {
    const EACH: usize = 3;
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("good")).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    let _: () = server.command(&["SET", "replies.bad", "a string"]);
    let calls = (0..EACH).map(async |n| asker.ask(n.to_string()).await);

    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), async {
        for _ in 0..EACH {
            let id = CorrelationId::mint().to_string();
            let _: String =
                server.command(&["XADD", REQUESTS, "*", "id", &id, "reply_to", "replies.bad", "body", "x"]);
        }
        gate.wait_for(2 * EACH).await;
        gate.open();
    });

    for answer in answers {
        assert_eq!(answer.expect("an answer").reply.status, 200);
    }
    assert!(server.command::<usize>(&["XLEN", "replies.good"]) < EACH, "replies share an entry");
    eventually_async("the others are dead letters", async || {
        let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
        letters.iter().filter(|(_, fields)| fields[1].starts_with("reply refused: ")).count() == EACH
    })
    .await;
    settled(&server).await;
}

#[tokio::test]
async fn replies_that_share_an_entry_wait_together_for_memory() {
    const CALLERS: usize = 8;
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    let calls = (0..CALLERS).map(async |n| asker.ask(n.to_string()).await);

    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), async {
        open_without_memory(&server, &gate, CALLERS).await;
        let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    });

    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.expect("an answer").reply.body, n.to_string());
    }
    settled(&server).await;
    assert_eq!(server.ids_on(REPLIES).len(), CALLERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_killed_and_restarted_under_load_heals_by_itself() {
    heals_after(RedisServer::start_durable(), async |server, _| server.restart()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_restart_heals() {
    heals_after(RedisServer::start(), async |server, _| server.restart()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flushall_heals() {
    heals_after(RedisServer::start(), async |server, _| server.command::<()>(&["FLUSHALL"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_group_heals() {
    heals_after(RedisServer::start(), async |server, _| {
        let _: u64 = server.command(&["XGROUP", "DESTROY", REQUESTS, GROUP]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_streams_heal() {
    heals_after(RedisServer::start(), async |server, _| {
        let _: u64 = server.command(&["DEL", REQUESTS, REPLIES]);
    })
    .await;
}

#[tokio::test]
async fn without_redis_callers_are_refused_until_it_restarts() {
    let mut server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    server.kill();
    eventually_async("the circuit opens", async || asker.redis.circuit().state() != BreakerState::Closed)
        .await;

    let error = asker.ask("no Redis").await.expect_err("no Redis");
    server.restart();
    eventually_async("Redis is found again", async || asker.ask("back?").await.is_ok()).await;

    assert_eq!(error.kind, RequestErrorKind::Unavailable);
    assert!(error.retry_after.is_some());
}

#[tokio::test]
async fn a_reply_is_read_when_its_lane_restarts_with_lower_ids() {
    let server = RedisServer::start();
    // The reply stream has an id from the far future, as after a wrong clock: the cursor is far ahead.
    let _: String = server.command(&["XADD", REPLIES, "99999999999999-0", "x", "y"]);
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    let _: u64 = server.command(&["DEL", REPLIES]);

    eventually_async("replies are seen again", async || {
        asker.ask_within("hello", Duration::from_secs(5)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_worker_without_a_free_slot_heals() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let mut settings = responder_settings("w1");
    settings.concurrency = 1;
    let _worker = Worker::start_with(&server, settings, gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("in the middle"), async {
        gate.wait_for(1).await;
        let _: () = server.command(&["FLUSHALL"]);
        eventually_async("the group is created again", async || {
            server.command::<u64>(&["EXISTS", REQUESTS]) == 1
        })
        .await;
        let later = server_time_ms(&server) + 2 * LEASE.as_millis() as u64;
        eventually_async("the lease ends", async || server_time_ms(&server) > later).await;
        gate.open();
    });

    assert_eq!(answer.expect("the work was done, so there is a reply").reply.status, 200);
    assert_eq!(asker.ask("and the next").await.expect("an answer").reply.status, 200);
    settled(&server).await;
}

#[tokio::test]
async fn no_request_is_admitted_before_the_lane_can_be_read() {
    let server = RedisServer::start();
    // Redis answers, but the lane cannot be read yet.
    let _: () = server.command(&["SET", REPLIES, "not a stream"]);
    let asker = Asker::start_unready(&server, None);
    eventually_async("Redis is reached", async || asker.redis.round_trip().is_some()).await;

    let error = asker.ask("too early").await.expect_err("the reply could be missed");
    assert_eq!(error.kind, RequestErrorKind::Unavailable);
    assert_eq!(server.command::<u64>(&["EXISTS", REQUESTS]), 0, "nothing was sent");
    let _: u64 = server.command(&["DEL", REPLIES]);

    let _worker = Worker::start(&server, "w1", Echo).await;
    eventually_async("a request is admitted", async || asker.ask("now?").await.is_ok()).await;
}

#[tokio::test]
async fn only_a_lost_group_counts_as_recreated() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let counts = Counts::default();
    let metrics = counts.declare(responder_metrics);
    let recreations = |count: u32| counts.of("streamgate_group_recreations_total") == f64::from(count);
    let _worker = Worker::start_counting(&server, responder_settings("w1"), Echo, metrics).await;

    asker.ask("hello").await.expect("an answer");
    assert!(recreations(0));
    let _: u64 = server.command(&["XGROUP", "DESTROY", REQUESTS, GROUP]);

    eventually_async("the new group is counted", async || recreations(1)).await;
}

#[tokio::test]
async fn a_refused_dead_letter_sends_no_reply_after_the_deadline() {
    let server = RedisServer::start();
    let _: () = server.command(&["SET", "{requests}:dlq", "not a stream"]);
    let id = "0191f3a0-0000-7000-8000-000000000000";
    // The entry has no body, so it becomes a dead letter. It is so old that no caller waits for it.
    let _: String = server.command(&["XADD", REQUESTS, "1000-0", "id", id, "reply_to", REPLIES]);

    let _worker = Worker::start(&server, "w1", Echo).await;
    eventually_async("the dead letter was tried more than once", async || {
        let tried: Vec<(String, String, u64, u64)> =
            server.command(&["XPENDING", REQUESTS, GROUP, "-", "+", "1"]);
        tried.first().is_some_and(|(.., deliveries)| *deliveries > 2)
    })
    .await;

    assert_eq!(server.command::<u64>(&["XLEN", REPLIES]), 0);
}
