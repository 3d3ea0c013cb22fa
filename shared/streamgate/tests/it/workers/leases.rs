use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamgate::responder::{Handler, Response, Work};
use streamgate::stream::{Claimer, Consumer, ConsumerGroup, Leases};
use streamgate::testing::{RedisServer, eventually_async};
use tokio_util::sync::CancellationToken;

use crate::harness::{
    Asker, CrashingWorker, Echo, GROUP, Gate, LEASE, REPLIES, REQUESTS, Worker, become_dead_letters,
    group_settings, owner_of, pending, redis, responder_metrics, responder_settings, server_time_ms, settled,
};

/// A member of the group without a worker.
fn member(server: &RedisServer, name: &str) -> (ConsumerGroup, Leases) {
    let group = ConsumerGroup::new(redis(server), group_settings(name), responder_metrics().worker.group);
    let leases = Leases::new(group.clone());
    (group, leases)
}

fn append_request(server: &RedisServer) -> String {
    let id = "0191f3a0-0000-7000-8000-000000000000";
    server.command(&["XADD", REQUESTS, "*", "id", id, "reply_to", REPLIES, "body", "x"])
}

#[tokio::test]
async fn a_lease_is_not_taken_back_from_the_worker_that_claimed_it() {
    let server = RedisServer::start();
    let (group, leases) = member(&server, "paused");
    let mut consumer = Consumer::new(group.clone(), leases.clone());
    consumer.join(&CancellationToken::new()).await;
    let id = append_request(&server);
    let mut held = Vec::new();
    eventually_async("the entry is read", async || {
        held.extend(consumer.read(1, LEASE).await.expect("reads"));
        !held.is_empty()
    })
    .await;

    let (other, other_leases) = member(&server, "other");
    let mut claimer = Claimer::new(other, other_leases);
    let mut claimed = Vec::new();
    eventually_async("the idle entry is claimed", async || {
        claimed.extend(claimer.claim(10).await.expect("claims"));
        !claimed.is_empty()
    })
    .await;
    let renewed = leases.renew().await.expect("renews");

    assert_eq!(renewed, 0);
    assert!(held[0].lease.is_lost(), "the first holder knows that its lease is lost");
    assert!(!held[0].lease.is_current(tokio::time::Instant::now()));
    assert_eq!(owner_of(&server, &id), "other");
    assert_eq!(claimed[0].attempt, 2);
}

#[tokio::test]
async fn entries_of_a_crashed_worker_are_claimed_and_answered() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let crashing = CrashingWorker::start(&server, "crashing", gate.clone());

    let answers = futures_util::future::join_all((0..20).map(|n| asker.ask(n.to_string())));
    let (answers, _survivor) = tokio::join!(answers, async {
        gate.wait_for(20).await;
        crashing.crash();
        Worker::start(&server, "survivor", Echo).await
    });

    for (n, answer) in answers.into_iter().enumerate() {
        let reply = answer.expect("an answer").reply;
        assert_eq!((reply.body, &*reply.worker, reply.attempt), (n.to_string().into(), "survivor", 2));
    }
    settled(&server).await;
}

#[tokio::test]
async fn work_longer_than_a_lease_is_done_once() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let _workers =
        [Worker::start(&server, "w1", gate.clone()).await, Worker::start(&server, "w2", gate.clone()).await];

    let (answer, ()) = tokio::join!(asker.ask("slow"), async {
        gate.wait_for(1).await;
        let long = server_time_ms(&server) + 3 * LEASE.as_millis() as u64;
        eventually_async("three leases pass", || async { server_time_ms(&server) > long }).await;
        gate.open();
    });

    assert_eq!(answer.expect("an answer").reply.attempt, 1);
    assert_eq!(gate.entered(), 1);
}

#[tokio::test]
async fn handed_back_work_does_not_count_as_a_delivery() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let grace = Duration::from_millis(200);
    let stopping =
        Worker::start_draining_within(&server, responder_settings("stopping"), gate.clone(), grace).await;

    let (answer, ()) = tokio::join!(asker.ask("hand me back"), async {
        gate.wait_for(1).await;
        // The gate stays closed, so the grace ends before the work.
        stopping.stop().await;
        Worker::start(&server, "next", Echo).await.forget();
    });

    let reply = answer.expect("an answer").reply;
    assert_eq!((&*reply.worker, reply.attempt), ("next", 1));
    settled(&server).await;
}

#[tokio::test]
async fn a_delivery_that_never_arrived_is_handled_later() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let worker = Worker::start(&server, "w1", Echo).await;
    asker.ask("warm up").await.expect("an answer");
    worker.stop().await;

    // The test reads the entry under the worker's name, as if the response to the worker had been lost.
    let (answer, ()) = tokio::join!(asker.ask("lost on the way"), async {
        eventually_async("the request is read", || async {
            let read = ["XREADGROUP", "GROUP", GROUP, "w1", "STREAMS", REQUESTS, ">"];
            server.command::<redis::Value>(&read) != redis::Value::Nil
        })
        .await;
        Worker::start(&server, "w1", Echo).await.forget();
    });

    assert_eq!(answer.expect("an answer").reply.attempt, 2);
    settled(&server).await;
}

/// Counts the requests that run at the same time as a suspect, an entry on its third delivery.
#[derive(Clone, Default)]
struct Overlaps {
    now: Arc<AtomicUsize>,
    beside_suspect: Arc<AtomicUsize>,
}

impl Handler for Overlaps {
    async fn handle(&self, work: Work) -> Response {
        let others = self.now.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        if work.attempt >= 3 {
            self.beside_suspect.fetch_add(others, Ordering::SeqCst);
            tokio::task::yield_now().await;
            self.beside_suspect.fetch_add(self.now.load(Ordering::SeqCst) - 1, Ordering::SeqCst);
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        Echo.handle(work).await
    }
}

#[tokio::test]
async fn an_entry_on_its_third_delivery_runs_alone() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    leave_pending_after(&server, 2, 5);
    let overlaps = Overlaps::default();
    let _worker = Worker::start(&server, "w1", overlaps.clone()).await;

    while pending(&server) > 0 || unread(&server) > 0 {
        let answers = futures_util::future::join_all((0..20).map(|n| asker.ask(n.to_string()))).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }

    assert_eq!(overlaps.beside_suspect.load(Ordering::SeqCst), 0);
    assert_eq!(server.ids_on(REPLIES).len() % 20, 5, "the suspects were answered too");
}

#[tokio::test]
async fn entries_that_wait_for_a_suspect_keep_their_delivery_count() {
    let server = RedisServer::start();
    leave_pending_after(&server, 2, 5);
    let gate = Gate::default();

    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    gate.wait_for(1).await;

    eventually_async("only the delivery of the entry that runs is counted", || async {
        let pending: Vec<(String, String, u64, u64)> =
            server.command(&["XPENDING", REQUESTS, GROUP, "-", "+", "10"]);
        let mut deliveries: Vec<u64> = pending.into_iter().map(|(.., deliveries)| deliveries).collect();
        deliveries.sort_unstable();
        deliveries == [2, 2, 2, 2, 3]
    })
    .await;
    gate.open();
    settled(&server).await;
    assert_eq!(gate.entered(), 5);
}

#[tokio::test]
async fn an_entry_delivered_too_often_is_given_up_with_a_502() {
    let server = RedisServer::start();
    leave_pending_after(&server, 5, 1);
    let gate = Gate::default();
    gate.open();

    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    become_dead_letters(&server, 1).await;

    let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
    assert_eq!(letters[0].1[..4], ["dlq_reason", "given up after 5 deliveries", "dlq_attempts", "6"]);
    let replies: Vec<(String, Vec<String>)> = server.command(&["XRANGE", REPLIES, "-", "+"]);
    assert_eq!(replies[0].1[2..4], ["status", "502"]);
    assert_eq!((gate.entered(), pending(&server)), (0, 0));
}

struct Panics;

impl Handler for Panics {
    async fn handle(&self, work: Work) -> Response {
        panic!("cannot do {:?}", work.request.body);
    }
}

#[tokio::test]
async fn a_panic_makes_a_dead_letter_and_its_caller_gets_502() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Panics).await;

    let answers = [asker.ask("a").await, asker.ask("b").await];

    for answer in answers {
        assert_eq!(answer.expect("an answer").reply.status, 502);
    }
    settled(&server).await;
    become_dead_letters(&server, 2).await;
}

#[tokio::test]
async fn an_idle_worker_stays_and_silent_consumers_are_removed() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let mut settings = responder_settings("w1");
    settings.group.grace = Duration::from_millis(200);
    let _worker = Worker::start_with(&server, settings.clone(), Echo).await;
    let (silent, _) = member(&server, "silent");
    silent.heartbeat().await.expect("is known");
    // The name of a consumer need not be UTF-8.
    let mut not_utf_8 = redis::cmd("XGROUP");
    not_utf_8.arg("CREATECONSUMER").arg(REQUESTS).arg(GROUP).arg(&b"\xff"[..]);
    let _: u64 = server.run(&not_utf_8);

    // The silent consumer sends no heartbeat until its grace is over.
    settings.group.consumer = "housekeeper".to_owned();
    let housekeeper = ConsumerGroup::new(redis(&server), settings.group, responder_metrics().worker.group);
    let mut reaped = Vec::new();
    eventually_async("the two silent consumers are removed", async || {
        reaped.extend(housekeeper.reap().await.expect("reaps"));
        reaped.len() >= 2
    })
    .await;

    reaped.sort();
    assert_eq!(reaped, ["silent", "\u{fffd}"], "no other consumer is removed");
    assert_eq!(&*asker.ask("still there?").await.expect("an answer").reply.worker, "w1");
}

#[tokio::test]
async fn an_idle_entry_is_found_behind_1000_others() {
    let server = RedisServer::start();
    let _: () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0", "MKSTREAM"]);
    for _ in 0..1_000 {
        append_request(&server);
    }
    let read = ["XREADGROUP", "GROUP", GROUP, "busy", "STREAMS", REQUESTS, ">"];
    let _: redis::Value = server.command(&read);
    leave_pending(&server, 1, 1);
    let mut settings = responder_settings("w1");
    settings.concurrency = 1;
    settings.group.claim_min_idle = Duration::from_secs(50);

    let _worker = Worker::start_with(&server, settings, Echo).await;

    eventually_async("the request is answered", async || server.command::<u64>(&["XLEN", REPLIES]) == 1)
        .await;
    eventually_async("only this entry is acknowledged", async || pending(&server) <= 1_000).await;
    assert_eq!(pending(&server), 1_000, "the others are left to their worker");
}

#[tokio::test]
async fn claims_and_reads_together_respect_the_concurrency() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    leave_pending_after(&server, 1, 1);
    let gate = Gate::default();
    let mut settings = responder_settings("w1");
    settings.concurrency = 1;
    let _worker = Worker::start_with(&server, settings, gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("read"), async {
        gate.wait_for(1).await;
        let later = server_time_ms(&server) + 2 * LEASE.as_millis() as u64;
        eventually_async("two leases pass", async || server_time_ms(&server) > later).await;
        assert_eq!(gate.entered(), 1, "one at a time");
        gate.open();
    });

    assert_eq!(answer.expect("an answer").reply.status, 200);
    assert_eq!(gate.entered(), 2);
    settled(&server).await;
}

/// Creates the group and leaves `count` requests pending with a consumer that is gone. Each has been
/// delivered `deliveries` times.
fn leave_pending_after(server: &RedisServer, deliveries: u32, count: usize) {
    let _: () = server.command(&["XGROUP", "CREATE", REQUESTS, GROUP, "0", "MKSTREAM"]);
    leave_pending(server, deliveries, count);
}

/// Does the same as [`leave_pending_after`] for a group that exists.
fn leave_pending(server: &RedisServer, deliveries: u32, count: usize) {
    for _ in 0..count {
        let id = append_request(server);
        let _: redis::Value =
            server.command(&["XREADGROUP", "GROUP", GROUP, "gone", "COUNT", "1", "STREAMS", REQUESTS, ">"]);
        let times = deliveries.to_string();
        let idle =
            ["XCLAIM", REQUESTS, GROUP, "gone", "0", &id, "IDLE", "60000", "RETRYCOUNT", &times, "JUSTID"];
        let _: redis::Value = server.command(&idle);
    }
}

fn unread(server: &RedisServer) -> u64 {
    let groups: Vec<std::collections::HashMap<String, redis::Value>> =
        server.command(&["XINFO", "GROUPS", REQUESTS]);
    redis::from_redis_value_ref(&groups[0]["lag"]).unwrap_or(0)
}
