//! An intake pauses a worker, bounds what it takes, and a handler gives requests back.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use streamgate::connection::Redis;
use streamgate::envelope::{CorrelationId, HttpHead};
use streamgate::requester::Call;
use streamgate::resilience::ConcurrencyLimit;
use streamgate::responder::{Handler, Responder, Response, Work};
use streamgate::telemetry::Readiness;
use streamgate::testing::{RedisServer, eventually_async};
use streamgate::worker::{Grant, Intake};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{
    Asker, CrashingWorker, Echo, GROUP, Gate, LEASE, REQUESTS, Worker, become_dead_letters, dead_letters,
    pending, redis, responder_metrics, responder_settings, server_time_ms, settled,
};

/// Grants as many entries at once as the test says; 0 pauses the worker.
struct Valve {
    limit: ConcurrencyLimit,
    most: watch::Sender<usize>,
    taken: AtomicUsize,
    /// The most that was taken by one grant.
    largest: AtomicUsize,
}

impl Valve {
    fn new(most: usize) -> Arc<Self> {
        let limit = ConcurrencyLimit::new(64);
        let (taken, largest) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self { limit, most: watch::Sender::new(most), taken, largest })
    }
}

impl Intake for Valve {
    fn limit(&self) -> &ConcurrencyLimit {
        &self.limit
    }

    fn open(&self) -> Pin<Box<dyn Future<Output = Grant> + Send + '_>> {
        Box::pin(async {
            let mut most = self.most.subscribe();
            let most = *most.wait_for(|most| *most > 0).await.expect("the valve lives");
            Grant { most, patience: Duration::MAX }
        })
    }

    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            let mut most = self.most.subscribe();
            let _ = most.wait_for(|most| *most == 0).await;
        })
    }

    fn took(&self, entries: usize) {
        self.taken.fetch_add(entries, Ordering::SeqCst);
        self.largest.fetch_max(entries, Ordering::SeqCst);
    }
}

/// A worker behind a valve; its tasks end with the runtime of the test.
async fn start(redis: Redis, name: &str, valve: &Arc<Valve>, handler: impl Handler) {
    let readiness = Readiness::default();
    let responder = Responder::new(redis, responder_settings(name), responder_metrics(), &readiness, handler)
        .intake(Arc::clone(valve) as _);
    tokio::spawn(responder.run(CancellationToken::new(), Duration::from_secs(10)));
    eventually_async("the worker has joined", || async { !readiness.missing().contains(&"permissions") })
        .await;
}

async fn leases_pass(server: &RedisServer, leases: u64) {
    let later = server_time_ms(server) + leases * LEASE.as_millis() as u64;
    eventually_async("some leases pass", || async { server_time_ms(server) > later }).await;
}

fn length(server: &RedisServer) -> u64 {
    server.command(&["XLEN", REQUESTS])
}

fn idle_ms(server: &RedisServer, consumer: &str) -> u64 {
    let consumers: Vec<(String, String, String, u64, String, u64)> = server
        .command::<Vec<Vec<redis::Value>>>(&["XINFO", "CONSUMERS", REQUESTS, GROUP])
        .into_iter()
        .map(|fields| {
            let text = |at: usize| redis::from_redis_value::<String>(fields[at].clone()).expect("text");
            let number = |at: usize| redis::from_redis_value::<u64>(fields[at].clone()).expect("a number");
            (text(0), text(1), text(2), number(3), text(4), number(5))
        })
        .collect();
    consumers.into_iter().find(|it| it.1 == consumer).expect("a consumer").5
}

#[tokio::test]
async fn a_paused_worker_takes_nothing_and_stays_alive() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let valve = Valve::new(64);
    start(redis(&server), "paused", &valve, Echo).await;
    asker.ask("warm up").await.expect("an answer");
    let taken = valve.taken.load(Ordering::SeqCst);

    // The worker blocks in a read when the valve closes: the read must not take the next request.
    valve.most.send_replace(0);
    leases_pass(&server, 1).await;
    let (answer, ()) = tokio::join!(asker.ask("later"), async {
        eventually_async("the request is stored", || async { length(&server) == 2 }).await;
        leases_pass(&server, 5).await;
        assert_eq!((pending(&server), valve.taken.load(Ordering::SeqCst)), (0, taken));
        assert!(idle_ms(&server, "paused") < 3_000, "it gives no sign of life");
        valve.most.send_replace(64);
    });

    assert_eq!(answer.expect("an answer").reply.attempt, 1);
    settled(&server).await;
}

#[tokio::test]
async fn a_paused_worker_claims_nothing() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let crashing = CrashingWorker::start(&server, "crashing", gate.clone());
    let valve = Valve::new(0);
    start(redis(&server), "paused", &valve, Echo).await;

    let (answer, ()) = tokio::join!(asker.ask("orphan"), async {
        gate.wait_for(1).await;
        crashing.crash();
        leases_pass(&server, 4).await;
        assert_eq!((pending(&server), valve.taken.load(Ordering::SeqCst)), (1, 0));
        valve.most.send_replace(1);
    });

    let reply = answer.expect("an answer").reply;
    assert_eq!((&*reply.worker, reply.attempt), ("paused", 2));
}

#[tokio::test]
async fn a_worker_takes_no_more_than_it_is_granted() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let (valve, gate) = (Valve::new(0), Gate::default());
    start(redis(&server), "w1", &valve, gate.clone()).await;

    let answers = futures_util::future::join_all((0..10).map(|n| asker.ask(n.to_string())));
    let (answers, ()) = tokio::join!(answers, async {
        eventually_async("the requests are stored", || async { length(&server) == 10 }).await;
        valve.most.send_replace(3);
        gate.wait_for(10).await;
        gate.open();
    });

    assert!(answers.into_iter().all(|answer| answer.is_ok()));
    assert_eq!(valve.largest.load(Ordering::SeqCst), 3);
}

/// Gives each request back until it was asked so many times.
struct GivesBack {
    asked: Arc<AtomicUsize>,
    times: usize,
}

impl Handler for GivesBack {
    async fn handle(&self, work: Work) -> Response {
        match self.asked.fetch_add(1, Ordering::SeqCst) < self.times {
            true => Response::hand_back(),
            false => Echo.handle(work).await,
        }
    }
}

#[tokio::test]
async fn a_request_given_back_by_its_handler_is_not_counted() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let asked = Arc::new(AtomicUsize::new(0));
    // More often than an entry may be delivered.
    let worker = Worker::start(&server, "w1", GivesBack { asked: Arc::clone(&asked), times: 7 }).await;

    let reply = asker.ask("not now").await.expect("an answer").reply;

    assert_eq!((reply.status, reply.attempt, asked.load(Ordering::SeqCst)), (200, 1, 8));
    settled(&server).await;
    worker.stop().await;
}

fn once(asker: &Asker, body: &'static str) -> Call {
    let http = HttpHead {
        route: "pay".to_owned(),
        method: "POST".to_owned(),
        target: "/pay".to_owned(),
        at_most_once: true,
        ..HttpHead::default()
    };
    Call {
        to: asker.destination.clone(),
        id: CorrelationId::mint(),
        trace: None,
        content_type: "text/plain".into(),
        body: body.into(),
        timeout: Duration::from_secs(30),
        http: Some(Box::new(http)),
    }
}

#[tokio::test]
async fn work_done_at_most_once_is_not_repeated_after_a_crash() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let crashing = CrashingWorker::start(&server, "crashing", gate.clone());

    let (answer, _next) = tokio::join!(asker.requester.request(once(&asker, "pay")), async {
        gate.wait_for(1).await;
        crashing.crash();
        Worker::start(&server, "next", gate.clone()).await
    });

    let reply = answer.expect("an answer").reply;
    assert_eq!((reply.status, gate.entered()), (502, 1));
    assert!(String::from_utf8_lossy(&reply.body).contains("unknown whether done"), "{reply:?}");
    become_dead_letters(&server, 1).await;
}

#[tokio::test]
async fn a_stopping_worker_gives_back_no_work_of_at_most_once() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let grace = Duration::from_millis(200);
    let stopping =
        Worker::start_draining_within(&server, responder_settings("stopping"), gate.clone(), grace).await;

    let (answer, ()) = tokio::join!(asker.requester.request(once(&asker, "pay")), async {
        gate.wait_for(1).await;
        stopping.stop().await;
        Worker::start(&server, "next", gate.clone()).await.forget();
    });

    assert_eq!((answer.expect("an answer").reply.status, gate.entered()), (502, 1));
    assert_eq!(dead_letters(&server), 1);
}
