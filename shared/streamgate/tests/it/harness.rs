//! The test harness: requesters and responders on a server, and handlers that tests can observe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::{Redis, RedisSettings};
use streamgate::envelope::CorrelationId;
use streamgate::requester::{
    Answer, Call, Destination, DestinationMetrics, DestinationSettings, RequestError, Requester,
    RequesterMetrics, RequesterSettings, WorkerGroup,
};
use streamgate::responder::ResponderMetrics;
use streamgate::responder::{Handler, Responder, ResponderSettings, Response, Work};
use streamgate::stream::{GroupSettings, Start};
use streamgate::telemetry::{Readiness, Tracer};
use streamgate::testing::{Link, RedisServer, eventually_async};
use streamgate::worker::PartEnded;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const REQUESTS: &str = "requests";
pub(crate) const REPLIES: &str = "replies";
pub(crate) const GROUP: &str = "workers";

/// A short lease for tests. A busy machine still has time to renew it.
pub(crate) const LEASE: Duration = Duration::from_millis(600);

/// A server, or a link to one.
pub(crate) trait Target {
    fn url(&self) -> String;
}

impl Target for RedisServer {
    fn url(&self) -> String {
        self.url()
    }
}

impl Target for Link {
    fn url(&self) -> String {
        self.url()
    }
}

pub(crate) fn redis(target: &impl Target) -> Redis {
    redis_skewed(target, 0)
}

/// A handle whose estimate of the server's clock is wrong by `clock_skew_ms`.
pub(crate) fn redis_skewed(target: &impl Target, clock_skew_ms: i64) -> Redis {
    let settings =
        RedisSettings { clock_skew_ms, ..RedisSettings::new(target.url().parse().expect("a URL")) };
    Redis::open(settings, ConnectionMetrics::declare(), Readiness::default().latch("redis")).expect("opens")
}

pub(crate) fn group_settings(worker: &str) -> GroupSettings {
    GroupSettings {
        stream: REQUESTS.parse().expect("a name"),
        group: GROUP.to_owned(),
        consumer: worker.to_owned(),
        start: Start::default(),
        block: Duration::from_secs(2),
        claim_min_idle: LEASE,
        lease_renewal: LEASE / 3,
        grace: Duration::from_secs(3),
        dead_letters_kept: 1_000,
    }
}

pub(crate) fn responder_settings(worker: &str) -> ResponderSettings {
    ResponderSettings {
        group: group_settings(worker),
        worker: worker.into(),
        reply_stream: REPLIES.parse().expect("a name"),
        concurrency: 64,
        handler_timeout: Duration::from_secs(30),
        max_deliveries: 5,
        request_timeout: Duration::from_secs(30),
        housekeeping: None,
        tracer: Tracer::default(),
    }
}

/// The metrics of an [`Asker`].
pub(crate) type AskerMetrics = (RequesterMetrics, DestinationMetrics);

/// Metrics for tests that do not read them.
pub(crate) fn requester_metrics() -> AskerMetrics {
    let destination = DestinationMetrics::declare(&destination_settings().stream);
    (RequesterMetrics::declare(&requester_settings(None)), destination)
}

/// Metrics for tests that do not read them.
pub(crate) fn responder_metrics() -> ResponderMetrics {
    ResponderMetrics::declare(&responder_settings("any"))
}

fn requester_settings(replica: Option<&str>) -> RequesterSettings {
    RequesterSettings {
        reply_stream: REPLIES.parse().expect("a name"),
        replica: replica.map(str::to_owned),
        max_in_flight: 10_000,
        longest_timeout: Duration::from_secs(60),
        busy_poll: Duration::from_micros(500),
        tracer: Tracer::default(),
    }
}

fn destination_settings() -> DestinationSettings {
    DestinationSettings { stream: REQUESTS.parse().expect("a name"), workers: None }
}

/// A requester that is ready to receive replies. It stops on drop.
pub(crate) struct Asker {
    pub(crate) requester: Requester,
    pub(crate) destination: Destination,
    pub(crate) redis: Redis,
    readiness: Readiness,
    stop: CancellationToken,
}

impl Asker {
    pub(crate) async fn start(target: &impl Target, replica: Option<&str>) -> Self {
        Self::start_on(redis(target), replica, requester_metrics()).await
    }

    /// Starts a requester with this connection and these metrics.
    pub(crate) async fn start_on(redis: Redis, replica: Option<&str>, metrics: AskerMetrics) -> Self {
        let asker = Self::start_unready_on(redis, replica, metrics);
        eventually_async("the requester listens", async || asker.readiness.is_ready()).await;
        asker
    }

    /// Starts a requester that may not have reached the server yet.
    pub(crate) fn start_unready(target: &impl Target, replica: Option<&str>) -> Self {
        Self::start_unready_on(redis(target), replica, requester_metrics())
    }

    fn start_unready_on(redis: Redis, replica: Option<&str>, metrics: AskerMetrics) -> Self {
        Self::start_with(redis, requester_settings(replica), destination_settings(), metrics)
    }

    /// Starts a requester that watches the workers of the group, with this `grace`.
    pub(crate) async fn watching_workers(
        target: &impl Target,
        grace: Duration,
        metrics: AskerMetrics,
    ) -> Self {
        Self::start_with_settings(redis(target), metrics, |settings, destination| {
            settings.replica = Some("a".to_owned());
            destination.workers = Some(WorkerGroup { name: GROUP.to_owned(), grace });
        })
        .await
    }

    /// Starts a requester whose settings are changed by `change`.
    pub(crate) async fn start_with_settings(
        redis: Redis,
        metrics: AskerMetrics,
        change: impl FnOnce(&mut RequesterSettings, &mut DestinationSettings),
    ) -> Self {
        let (mut settings, mut destination) = (requester_settings(None), destination_settings());
        change(&mut settings, &mut destination);
        let asker = Self::start_with(redis, settings, destination, metrics);
        eventually_async("the requester listens", async || asker.readiness.is_ready()).await;
        asker
    }

    fn start_with(
        redis: Redis,
        settings: RequesterSettings,
        destination: DestinationSettings,
        (metrics, destination_metrics): AskerMetrics,
    ) -> Self {
        let readiness = Readiness::default();
        let stop = CancellationToken::new();
        let requester =
            Requester::start(redis.clone(), settings, metrics, &readiness, stop.clone()).expect("valid lane");
        let destination = requester.destination(destination, destination_metrics);
        Self { requester, destination, redis, readiness, stop }
    }

    /// True while the requester reads its reply lane.
    pub(crate) fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    pub(crate) async fn ask(&self, body: impl Into<Bytes>) -> Result<Answer, RequestError> {
        self.ask_within(body, Duration::from_secs(30)).await
    }

    pub(crate) async fn ask_within(
        &self,
        body: impl Into<Bytes>,
        timeout: Duration,
    ) -> Result<Answer, RequestError> {
        let call = Call {
            to: self.destination.clone(),
            id: CorrelationId::mint(),
            trace: None,
            content_type: "text/plain".into(),
            body: body.into(),
            timeout,
            http: None,
        };
        self.requester.request(call).await
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A responder in this process. If it is dropped without [`Worker::stop`], its tasks go on until the
/// runtime ends, and nothing is drained.
pub(crate) struct Worker {
    readiness: Readiness,
    stop: CancellationToken,
    running: JoinHandle<Result<(), PartEnded>>,
}

impl Worker {
    pub(crate) async fn start(target: &impl Target, name: &str, handler: impl Handler) -> Self {
        Self::start_with(target, responder_settings(name), handler).await
    }

    pub(crate) async fn start_with(
        target: &impl Target,
        settings: ResponderSettings,
        handler: impl Handler,
    ) -> Self {
        Self::start_draining_within(target, settings, handler, Duration::from_secs(10)).await
    }

    /// Starts a worker with this `grace` to finish its deliveries when it stops.
    pub(crate) async fn start_draining_within(
        target: &impl Target,
        settings: ResponderSettings,
        handler: impl Handler,
        grace: Duration,
    ) -> Self {
        Self::start_as(redis(target), settings, handler, grace, responder_metrics()).await
    }

    /// Starts a worker with these metrics.
    pub(crate) async fn start_counting(
        target: &impl Target,
        settings: ResponderSettings,
        handler: impl Handler,
        metrics: ResponderMetrics,
    ) -> Self {
        Self::start_as(redis(target), settings, handler, Duration::from_secs(10), metrics).await
    }

    /// Starts a worker with this connection.
    pub(crate) async fn start_on(redis: Redis, settings: ResponderSettings, handler: impl Handler) -> Self {
        Self::start_as(redis, settings, handler, Duration::from_secs(10), responder_metrics()).await
    }

    async fn start_as(
        redis: Redis,
        settings: ResponderSettings,
        handler: impl Handler,
        grace: Duration,
        metrics: ResponderMetrics,
    ) -> Self {
        let readiness = Readiness::default();
        let stop = CancellationToken::new();
        let responder = Responder::new(redis, settings, metrics, &readiness, handler);
        let running = tokio::spawn(responder.run(stop.clone(), grace));
        eventually_async("the worker reads", || async { readiness.is_ready() }).await;
        Self { readiness, stop, running }
    }

    /// True while the worker takes requests.
    pub(crate) fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    /// Lets the worker run until the runtime of the test ends.
    pub(crate) fn forget(self) {}

    /// Drains and stops the worker.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("joins").expect("the worker drains");
    }
}

/// Replies with the body of the request.
#[derive(Clone, Default)]
pub(crate) struct Echo;

impl Handler for Echo {
    async fn handle(&self, work: Work) -> Response {
        Response::new(200, "text/plain", work.request.body)
    }
}

/// A handler that holds every request until the test opens the gate, and counts the requests.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) entered: Arc<AtomicUsize>,
    left: Arc<AtomicUsize>,
    open: Arc<Semaphore>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { entered: Arc::default(), left: Arc::default(), open: Arc::new(Semaphore::new(0)) }
    }
}

impl Gate {
    pub(crate) fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    pub(crate) fn entered(&self) -> usize {
        self.entered.load(Ordering::SeqCst)
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    pub(crate) async fn wait_for(&self, entered: usize) {
        eventually_async("requests reach the handler", || async { self.entered() >= entered }).await;
    }
}

impl Handler for Gate {
    async fn handle(&self, work: Work) -> Response {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let _permit = self.open.acquire().await;
        self.left.fetch_add(1, Ordering::SeqCst);
        Echo.handle(work).await
    }
}

/// Runs the cases of a test in parallel, because they mostly wait. Each case has its own thread and
/// runtime, because [`Logs`](crate::logs::Logs) captures the log of one thread.
pub(crate) fn side_by_side<C: Send>(cases: impl IntoIterator<Item = C>, test: impl AsyncFn(C) + Sync) {
    let test = &test;
    std::thread::scope(|scope| {
        for case in cases {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(test(case));
            });
        }
    });
}

/// The number of pending entries of the group.
pub(crate) fn pending(server: &RedisServer) -> u64 {
    let (count, ..): (u64, redis::Value, redis::Value, redis::Value) =
        server.command(&["XPENDING", REQUESTS, GROUP]);
    count
}

/// The number of dead letters.
pub(crate) fn dead_letters(server: &RedisServer) -> u64 {
    server.command(&["XLEN", "{requests}:dlq"])
}

/// Waits until there are `count` dead letters.
pub(crate) async fn become_dead_letters(server: &RedisServer, count: u64) {
    eventually_async("entries are dead letters", async || dead_letters(server) == count).await;
}

/// Waits until the group has no pending entries.
pub(crate) async fn settled(server: &RedisServer) {
    eventually_async("every entry is acknowledged", || async { pending(server) == 0 }).await;
}

/// The consumer that holds a pending entry.
pub(crate) fn owner_of(server: &RedisServer, id: &str) -> String {
    let pending: Vec<(String, String, u64, u64)> =
        server.command(&["XPENDING", REQUESTS, GROUP, id, id, "1"]);
    pending[0].1.clone()
}

/// A worker that can crash: it has its own runtime, which ends without running any more code of the
/// worker, as after `kill -9`.
pub(crate) struct CrashingWorker(tokio::runtime::Runtime);

impl CrashingWorker {
    pub(crate) fn start(server: &RedisServer, name: &str, handler: impl Handler) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let _inside = runtime.enter();
        let (settings, metrics) = (responder_settings(name), responder_metrics());
        let responder = Responder::new(redis(server), settings, metrics, &Readiness::default(), handler);
        runtime.spawn(responder.run(CancellationToken::new(), Duration::from_secs(10)));
        drop(_inside);
        Self(runtime)
    }

    pub(crate) fn crash(self) {
        self.0.shutdown_background();
    }
}

/// The time of the server's clock, in milliseconds.
pub(crate) fn server_time_ms(server: &RedisServer) -> u64 {
    let (seconds, micros): (u64, u64) = server.command(&["TIME"]);
    seconds * 1_000 + micros / 1_000
}
