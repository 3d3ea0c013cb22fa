//! Several workers with the same name.

use std::time::{Duration, Instant};

use futures_util::future::join;
use redis::Value;
use streamgate::stream::ConsumerGroup;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::harness::{
    Asker, CrashingWorker, Echo, GROUP, Gate, LEASE, REQUESTS, Worker, group_settings, pending, redis,
    responder_metrics, responder_settings, settled,
};

/// Names and idle times of the group's consumers.
fn consumers(server: &RedisServer) -> Vec<(String, Duration)> {
    let answer: Vec<Vec<Value>> = server.command(&["XINFO", "CONSUMERS", REQUESTS, GROUP]);
    let text = |value: &Value| redis::from_redis_value_ref::<String>(value).expect("text");
    let of = |info: &Vec<Value>, name: &str| {
        info.chunks(2).find(|pair| text(&pair[0]) == name).map(|pair| text(&pair[1])).expect("is there")
    };
    let idle = |info| Duration::from_millis(of(info, "idle").parse().expect("a number"));
    answer.iter().map(|info| (of(info, "name"), idle(info))).collect()
}

/// The number of deliveries of every pending entry.
fn deliveries(server: &RedisServer) -> Vec<u64> {
    let pending: Vec<(String, String, u64, u64)> =
        server.command(&["XPENDING", REQUESTS, GROUP, "-", "+", "100"]);
    pending.iter().map(|entry| entry.3).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_worker_with_the_same_name_takes_another() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let (first, second) = (Gate::default(), Gate::default());
    let one = Worker::start(&server, "w", first.clone()).await;
    let asking: Vec<_> = (0..4).map(|_| asker.ask("x")).collect();
    let asking = futures_util::future::join_all(asking);

    let (answers, two) = join(asking, async {
        first.wait_for(4).await;
        let two = Worker::start(&server, "w", second.clone()).await;
        assert_eq!((second.entered(), deliveries(&server)), (0, vec![1; 4]));
        first.open();
        two
    })
    .await;
    second.open();
    let workers: Vec<String> = consumers(&server).into_iter().map(|(name, _)| name).collect();

    assert!(answers.iter().all(|answer| &*answer.as_ref().expect("answered").reply.worker == "w"));
    assert_eq!(workers.len(), 2, "{workers:?}");
    assert!(workers.iter().any(|name| name.starts_with("w-")), "{workers:?}");
    one.stop().await;
    let answer = asker.ask("x").await.expect("answered");
    assert!(answer.reply.worker.starts_with("w-"), "replies carry the new name: {answer:?}");
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_of_other_workers_do_not_count_as_deliveries() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let gate = Gate::default();
    let one = Worker::start(&server, "w", gate.clone()).await;

    let (answer, ()) = join(asker.ask("x"), async {
        gate.wait_for(1).await;
        for _ in 0..6 {
            Worker::start(&server, "w", gate.clone()).await.stop().await;
        }
        assert_eq!((gate.entered(), deliveries(&server)), (1, vec![1]));
        gate.open();
    })
    .await;

    assert_eq!(answer.expect("answered").reply.attempt, 1);
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_that_start_at_once_take_two_names() {
    let server = RedisServer::start();

    let (one, two) = join(Worker::start(&server, "w", Echo), Worker::start(&server, "w", Echo)).await;

    assert_eq!(consumers(&server).len(), 2);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_worker_that_gets_no_response_when_it_joins_keeps_its_name() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let redis = redis(&link);
    let mut settings = group_settings("w");
    settings.claim_min_idle = Duration::from_millis(50);
    let mut lost = 0;

    // In each round, the link breaks after this many bytes of the responses, so that every step of joining
    // loses its response once.
    for bytes in (0..200).step_by(3) {
        let _: redis::Value = redis.command(&redis::cmd("PING")).await.expect("connected");
        let metrics = responder_metrics().worker.group;
        let group = ConsumerGroup::new(redis.clone(), settings.clone(), metrics);
        link.cut_replies_after(bytes);
        let first = group.join().await;
        link.flow();
        lost += usize::from(first.is_err() && !consumers(&server).is_empty());
        eventually_async("the worker joins", async || group.join().await.is_ok()).await;
        assert_eq!(group.consumer(), "w", "{bytes} bytes");
        assert!(group.leave().await.expect("answered"));
    }

    assert!(lost > 0, "the response to the last step was never lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_work_keeps_its_name() {
    let server = RedisServer::start();
    let lease = Duration::from_secs(2);
    let mut settings = responder_settings("w");
    (settings.group.claim_min_idle, settings.group.grace) = (lease, Duration::from_secs(60));
    let worker = Worker::start_with(&server, settings.clone(), Echo).await;
    let started = Instant::now();

    eventually_async("two leases have passed", async || started.elapsed() > lease * 2).await;
    let other = Worker::start_with(&server, settings, Echo).await;

    let names: Vec<String> = consumers(&server).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 2, "the name is not alive any more: {names:?}");
    other.stop().await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_restarts_cleanly_keeps_its_name() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;

    for _ in 0..3 {
        let worker = Worker::start(&server, "w", Echo).await;
        assert_eq!(&*asker.ask("x").await.expect("answered").reply.worker, "w");
        worker.stop().await;
    }

    assert_eq!(consumers(&server), [], "each left the group when it stopped");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crashed_worker_keeps_its_name_after_a_lease() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let gate = Gate::default();
    let crashing = CrashingWorker::start(&server, "w", gate.clone());

    let (answer, worker) = join(asker.ask("x"), async {
        gate.wait_for(1).await;
        crashing.crash();
        let old = async || consumers(&server).iter().all(|(_, idle)| *idle > LEASE);
        eventually_async("the lease is over", old).await;
        Worker::start(&server, "w", Echo).await
    })
    .await;

    let reply = answer.expect("answered").reply;
    assert_eq!((&*reply.worker, reply.attempt), ("w", 2));
    settled(&server).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quick_restart_after_a_crash_loses_nothing() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let gate = Gate::default();
    let crashing = CrashingWorker::start(&server, "w", gate.clone());

    let (answer, worker) = join(asker.ask("x"), async {
        gate.wait_for(1).await;
        crashing.crash();
        Worker::start(&server, "w", Echo).await
    })
    .await;

    assert_eq!(answer.expect("answered").reply.attempt, 2, "claimed once its lease was over");
    settled(&server).await;
    assert_eq!(pending(&server), 0);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_holds_entries_does_not_leave() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("a")).await;
    let gate = Gate::default();
    let grace = Duration::from_millis(100);
    let settings = responder_settings("w");
    let worker = Worker::start_draining_within(&server, settings, gate.clone(), grace).await;

    let (answer, other) = join(asker.ask("x"), async {
        gate.wait_for(1).await;
        worker.stop().await;
        assert_eq!(consumers(&server)[0].0, "w", "the consumer still has an entry");
        Worker::start(&server, "v", Echo).await
    })
    .await;

    assert_eq!(&*answer.expect("answered").reply.worker, "v");
    other.stop().await;
}
