//! The worker door: typed entries, retries, dead letters, statistics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use streamgate::channel::StreamChannel;
use streamgate::resilience::RetryPolicy;
use streamgate::stream::{DeadLetterFilter, DeadLetterQueue, Disposition, Group};
use streamgate::telemetry::Readiness;
use streamgate::testing::{RedisServer, eventually_async};
use streamgate::worker::{Delivery, HandlerResult, Stats, Worker, WorkerError};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{LEASE, redis};

const STREAM: &str = "orders";
const GROUP: &str = "billing";

fn channel(server: &RedisServer) -> StreamChannel<String> {
    StreamChannel::new(&redis(server), STREAM).expect("a name")
}

fn group(consumer: &str) -> Group {
    Group::new(GROUP).consumer(consumer).lease(LEASE)
}

fn soon() -> RetryPolicy {
    RetryPolicy::fixed(Duration::from_millis(1)).deliveries(3)
}

fn append(server: &RedisServer, value: &str) -> String {
    server.command(&["XADD", STREAM, "*", "content_type", "application/json", "body", &format!("{value:?}")])
}

/// A worker that runs until it is stopped or dropped.
struct Running {
    stats: Stats,
    readiness: Readiness,
    stop: CancellationToken,
    running: JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    fn start<H, F>(worker: Worker<StreamChannel<String>>, handler: H) -> Self
    where
        H: Fn(Delivery<String>) -> F + Send + Sync + 'static,
        F: Future<Output: HandlerResult> + Send + 'static,
    {
        let (stop, readiness) = (CancellationToken::new(), Readiness::default());
        let worker = worker.readiness(&readiness).handle(handler);
        let stats = worker.stats();
        let running = tokio::spawn(worker.run(stop.clone()));
        Self { stats, readiness, stop, running }
    }

    async fn stop(mut self) {
        self.stop.cancel();
        (&mut self.running).await.expect("no panic").expect("ends in order");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn pending(server: &RedisServer) -> u64 {
    type Summary = (u64, redis::Value, redis::Value, redis::Value);
    let answer = server.try_run::<Summary>(redis::cmd("XPENDING").arg(STREAM).arg(GROUP));
    answer.map_or(0, |(count, ..)| count)
}

async fn letters(server: &RedisServer) -> Vec<(String, u32)> {
    let queue = DeadLetterQueue::new(redis(server), STREAM.parse().expect("a name"), 100);
    let page = queue.search(&DeadLetterFilter::default(), None, 100).await.expect("finds");
    page.letters.into_iter().map(|letter| (letter.reason, letter.attempts)).collect()
}

/// Starts a worker, which has to get the entry of another one as this delivery.
async fn another_worker_does_it(server: &RedisServer, attempt: u32) {
    let worker =
        Running::start(Worker::new(&channel(server), group("another")), move |delivery| async move {
            assert_eq!(delivery.attempt, attempt);
        });
    eventually_async("it is done", async || worker.stats.get().processed == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn each_entry_is_handled_once_and_acknowledged() {
    let server = RedisServer::start();
    for n in 0..100 {
        append(&server, &n.to_string());
    }
    let (seen, mut values) = mpsc::unbounded_channel();
    let worker = Running::start(Worker::new(&channel(&server), group("one")), move |delivery| {
        seen.send((delivery.value, delivery.attempt)).expect("the test listens");
        async {}
    });

    let mut handled = Vec::new();
    while handled.len() < 100 {
        handled.push(values.recv().await.expect("the worker runs"));
    }
    eventually_async("all are acknowledged", async || pending(&server).await == 0).await;

    handled.sort_by_key(|(value, _)| value.parse::<u32>().expect("a number"));
    let expected: Vec<_> = (0..100).map(|n| (n.to_string(), 1)).collect();
    assert_eq!(handled, expected);
    assert!(worker.readiness.is_ready());
    let stats = worker.stats.get();
    assert_eq!((stats.consumer.as_str(), stats.processed, stats.failed), ("one", 100, 0));
    assert!(stats.last_success.is_some() && stats.p99 >= stats.mean / 2);
    worker.stop().await;
    assert!(values.try_recv().is_err(), "nothing was handled twice");
    let consumers: Vec<redis::Value> = server.command(&["XINFO", "CONSUMERS", STREAM, GROUP]);
    assert!(consumers.is_empty(), "it has left the group");
}

#[tokio::test]
async fn a_worker_takes_no_more_entries_than_it_has_slots() {
    let server = RedisServer::start();
    for number in 0..100 {
        append(&server, &number.to_string());
    }
    let (started, mut seen) = mpsc::unbounded_channel();
    let gate = Arc::new(Semaphore::new(0));
    let (held, permits) = (AtomicU32::new(0), Arc::clone(&gate));
    let held = Arc::new(held);
    let worker = Worker::new(&channel(&server), group("one")).concurrency(8);
    let worker = Running::start(worker, move |_: Delivery<String>| {
        let (started, permits, held) = (started.clone(), Arc::clone(&permits), Arc::clone(&held));
        async move {
            let _ = started.send(held.fetch_add(1, Ordering::Relaxed) + 1);
            permits.acquire().await.expect("stays open").forget();
            held.fetch_sub(1, Ordering::Relaxed);
        }
    });

    let mut most = 0;
    for number in 0..100 {
        most = most.max(seen.recv().await.expect("starts"));
        if number >= 7 {
            assert!(pending(&server).await <= 8, "after {number}");
            gate.add_permits(1);
        }
    }
    gate.add_permits(7);
    assert_eq!(most, 8);
    eventually_async("all are acknowledged", async || pending(&server).await == 0).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_failed_entry_is_tried_again_and_then_a_dead_letter() {
    let server = RedisServer::start();
    append(&server, "x");
    let (seen, mut tries) = mpsc::unbounded_channel();
    let worker = Worker::new(&channel(&server), group("one")).retry(soon());
    let worker = Running::start(worker, move |delivery| {
        seen.send((delivery.id, delivery.attempt)).expect("the test listens");
        async { Err::<(), _>("no money") }
    });

    let mut ids = Vec::new();
    for attempt in 1..=3 {
        let (id, this) = tries.recv().await.expect("the worker runs");
        assert_eq!(this, attempt);
        ids.push(id);
    }
    eventually_async("it is a dead letter", async || !letters(&server).await.is_empty()).await;

    assert!(ids.iter().all(|id| *id == ids[0]), "the entry keeps its id: {ids:?}");
    assert_eq!(letters(&server).await, [("failed 3 times, at last: no money".to_owned(), 3)]);
    assert_eq!(pending(&server).await, 0);
    let stats = worker.stats.get();
    assert_eq!((stats.failed, stats.retried, stats.dead_lettered, stats.processed), (3, 2, 1, 0));
    assert_eq!(stats.last_error.map(|error| error.what).as_deref(), Some("no money"));
    worker.stop().await;
}

#[tokio::test]
async fn a_panic_and_a_slow_handler_count_as_failures() {
    let server = RedisServer::start();
    append(&server, "panic");
    append(&server, "slow");
    append(&server, "good");
    let once = RetryPolicy::fixed(Duration::ZERO).deliveries(1);
    let worker = Worker::new(&channel(&server), group("one")).retry(once).timeout(Duration::from_millis(20));
    let worker = Running::start(worker, |delivery| async move {
        match delivery.value.as_str() {
            "panic" => panic!("on purpose"),
            "slow" => std::future::pending().await,
            _ => {}
        }
    });

    eventually_async("both are dead letters", async || letters(&server).await.len() == 2).await;
    eventually_async("the good one is done", async || worker.stats.get().processed == 1).await;

    let mut reasons: Vec<String> = letters(&server).await.into_iter().map(|(reason, _)| reason).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        [
            "failed 1 times, at last: the handler panicked",
            "failed 1 times, at last: the handler took longer than 20ms"
        ]
    );
    worker.stop().await;
}

#[tokio::test]
async fn a_handler_decides_what_becomes_of_an_entry() {
    let server = RedisServer::start();
    for value in ["good", "bad", "later"] {
        append(&server, value);
    }
    let worker = Running::start(Worker::new(&channel(&server), group("one")), |delivery| {
        let disposition = match (delivery.value.as_str(), delivery.attempt) {
            ("bad", _) => Disposition::DeadLetter("it is bad".to_owned()),
            ("later", 1) => Disposition::RetryAfter(Duration::from_millis(1)),
            _ => Disposition::Acknowledge,
        };
        async { disposition }
    });

    eventually_async("all are settled", async || {
        worker.stats.get().processed == 4 && pending(&server).await == 0
    })
    .await;

    assert_eq!(letters(&server).await, [("it is bad".to_owned(), 1)]);
    assert_eq!(worker.stats.get().retried, 1);
    worker.stop().await;
}

#[tokio::test]
async fn an_undecodable_entry_is_a_dead_letter_and_stops_nobody() {
    let server = RedisServer::start();
    let _: String = server.command(&["XADD", STREAM, "*", "body", "no json"]);
    let _: String = server.command(&["XADD", STREAM, "*", "other", "field"]);
    append(&server, "good");
    let worker = Running::start(Worker::new(&channel(&server), group("one")), |_| async {});

    eventually_async("all are settled", async || {
        worker.stats.get().processed == 1 && letters(&server).await.len() == 2
    })
    .await;

    assert!(letters(&server).await.iter().all(|(reason, _)| reason.starts_with("undecodable: ")));
    worker.stop().await;
}

#[tokio::test]
async fn a_retry_comes_although_its_worker_has_died() {
    let server = RedisServer::start();
    append(&server, "x");
    // Long enough for a busy machine to see the entry wait.
    let policy = RetryPolicy::fixed(Duration::from_secs(2));
    let first = Worker::new(&channel(&server), group("dies")).retry(policy);
    let first = Running::start(first, |_| async { Err::<(), _>("not yet") });
    eventually_async("the retry waits", async || {
        first.stats.get().retried == 1 && pending(&server).await == 0
    })
    .await;
    drop(first);

    another_worker_does_it(&server, 2).await;
}

#[tokio::test]
async fn an_entry_of_a_killed_worker_is_claimed_by_another() {
    let server = RedisServer::start();
    append(&server, "x");
    let first =
        Running::start(Worker::new(&channel(&server), group("dies")), |_| std::future::pending::<()>());
    eventually_async("it holds the entry", async || pending(&server).await == 1).await;
    drop(first);

    another_worker_does_it(&server, 2).await;
}

#[tokio::test]
async fn a_stopping_worker_gives_back_what_it_cannot_finish() {
    let server = RedisServer::start();
    append(&server, "x");
    let worker = Worker::new(&channel(&server), group("one")).grace(Duration::from_millis(1));
    let worker = Running::start(worker, |_| std::future::pending::<()>());
    eventually_async("it holds the entry", async || pending(&server).await == 1).await;

    worker.stop().await;

    // An entry that was given back counts as not delivered.
    another_worker_does_it(&server, 1).await;
}

#[tokio::test]
async fn a_worker_outlives_redis_and_its_group() {
    let mut server = RedisServer::start_durable();
    append(&server, "before");
    let handled = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&handled);
    let worker = Running::start(Worker::new(&channel(&server), group("one")), move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    eventually_async("the first is done", async || worker.stats.get().processed == 1).await;

    server.kill();
    eventually_async("it is not ready", async || !worker.readiness.is_ready()).await;
    server.restart();
    append(&server, "after");
    eventually_async("the second is done", async || worker.stats.get().processed == 2).await;
    let _: u64 = server.command(&["DEL", STREAM]);
    append(&server, "again");
    eventually_async("the third is done", async || worker.stats.get().processed >= 3).await;

    assert!(worker.readiness.is_ready());
    worker.stop().await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_at_once() {
    let server = RedisServer::start();
    let worker = Worker::new(&channel(&server), Group::new("two words")).handle(|_| async {});

    let ended = worker.run(CancellationToken::new()).now_or_never();

    let error = ended.expect("at once").expect_err("no name");
    assert!(error.to_string().contains("without spaces"), "{error}");
}
