//! The test harness: an ingress, a worker, and the stream between them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ingress::config::Settings;
use ingress::listeners::Listeners;
use ingress::{RunError, run};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use service::config::from_args;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::{Redis, RedisSettings};
use streamgate::responder::ResponderMetrics;
use streamgate::responder::{Handler, Responder, ResponderSettings, Response, Work};
use streamgate::stream::{GroupSettings, Start};
use streamgate::telemetry::{Readiness, Tracer};
use streamgate::testing::{RedisServer, eventually_async};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const REQUESTS: &str = "weather-requests";
pub(crate) const FORECAST: &str = "/WeatherForecast/city";
pub(crate) const BERLIN: &str = r#"{ "city" : "Berlin" }"#;

/// A running ingress on free ports. It stops on drop.
pub(crate) struct Ingress {
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) stop: CancellationToken,
    running: JoinHandle<Result<(), RunError>>,
    client: Client,
}

impl Ingress {
    /// Starts an ingress, which may not be ready yet.
    pub(crate) fn start(server: &RedisServer, flags: &[&str]) -> Self {
        let url = server.url();
        let fixed = ["ingress", "--redis-url", &url, "--ingress-listen", "127.0.0.1:0"];
        let args = fixed.into_iter().chain(["--ingress-admin-listen", "127.0.0.1:0"]);
        let settings = from_args::<Settings>(args.chain(flags.iter().copied()))
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let listeners = Listeners::bind(&settings).expect("free ports");
        let stop = CancellationToken::new();
        Self {
            api: listeners.public.local_addr().expect("bound"),
            admin: listeners.admin.local_addr().expect("bound"),
            running: tokio::spawn(run(settings, listeners, Tracer::default(), stop.clone())),
            stop,
            client: client(),
        }
    }

    /// Starts an ingress and waits until it is ready.
    pub(crate) async fn ready(server: &RedisServer, flags: &[&str]) -> Self {
        let ingress = Self::start(server, flags);
        ingress.wait_until_ready().await;
        ingress
    }

    pub(crate) async fn wait_until_ready(&self) {
        eventually_async("ingress is ready", || async { self.get("/readyz").await.status == 200 }).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        send(self.request(Method::GET, path)).await
    }

    pub(crate) async fn get_admin(&self, path: &str) -> Answer {
        send(self.client.get(format!("http://{}{path}", self.admin))).await
    }

    pub(crate) async fn forecast(&self, body: &'static str) -> Answer {
        send(self.request(Method::POST, FORECAST).header(CONTENT_TYPE, "application/json").body(body)).await
    }

    /// Asks for a forecast in the background.
    pub(crate) fn spawn_forecast(&self) -> JoinHandle<Answer> {
        let request = self.request(Method::POST, FORECAST).header(CONTENT_TYPE, "application/json");
        tokio::spawn(send(request.body(BERLIN)))
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.api))
    }

    pub(crate) async fn pending(&self) -> Value {
        self.get("/healthz").await.json()["pendingRequests"].clone()
    }

    /// Waits until `run` returns.
    pub(crate) async fn ended(&mut self) -> Result<(), RunError> {
        (&mut self.running).await.expect("run does not panic")
    }
}

impl Drop for Ingress {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("text"))
    }

    /// Checks the rules that hold for every problem.
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        assert_eq!(problem["requestId"].as_str(), self.header("x-request-id"), "{self:?}");
    }

    /// Checks a 503 with `retry-after`.
    pub(crate) fn assert_unavailable(&self) {
        self.assert_problem(503);
        let wait: u64 = self.header("retry-after").expect("retry-after").parse().expect("seconds");
        assert!(wait >= 1, "{self:?}");
    }
}

pub(crate) async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("answered");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.text().await.expect("text") }
}

pub(crate) fn client() -> Client {
    // The client does not start without a TLS provider, although no test uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = reqwest::redirect::Policy::none();
    Client::builder().no_proxy().redirect(redirects).build().expect("a client")
}

/// A worker in this process. It stops on drop.
pub(crate) struct Worker {
    gate: Arc<Semaphore>,
    worked: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Worker {
    /// Starts a worker that replies to every request at once.
    pub(crate) async fn start(server: &RedisServer) -> Self {
        let worker = Self::holding(server).await;
        worker.release();
        worker
    }

    /// Starts a worker that handles `concurrency` requests at once, each for `work`.
    pub(crate) async fn slow(server: &RedisServer, concurrency: usize, work: Duration) -> Self {
        let worker = Self::start_with(server, concurrency, work).await;
        worker.release();
        worker
    }

    /// Starts a worker that holds every request until [`Worker::release`].
    pub(crate) async fn holding(server: &RedisServer) -> Self {
        Self::start_with(server, 64, Duration::ZERO).await
    }

    async fn start_with(server: &RedisServer, concurrency: usize, work: Duration) -> Self {
        let readiness = Readiness::default();
        let (gate, stop) = (Arc::new(Semaphore::new(0)), CancellationToken::new());
        let redis = RedisSettings {
            url: server.url().parse().expect("a URL"),
            response_timeout: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(1),
            clock_skew_ms: 0,
        };
        let redis =
            Redis::open(redis, ConnectionMetrics::declare(), readiness.latch("redis")).expect("opens");
        let worked = Arc::new(AtomicUsize::new(0));
        let weather = Weather { gate: Arc::clone(&gate), work, worked: Arc::clone(&worked) };
        let settings = ResponderSettings { concurrency, ..responder_settings() };
        let metrics = ResponderMetrics::declare(&settings);
        let responder = Responder::new(redis, settings, metrics, &readiness, weather);
        tokio::spawn(responder.run(stop.clone(), Duration::from_secs(10)));
        eventually_async("the worker reads", || async { readiness.is_ready() }).await;
        Self { gate, worked, stop }
    }

    /// The number of requests that the worker has started.
    pub(crate) fn started(&self) -> usize {
        self.worked.load(Ordering::Relaxed)
    }

    pub(crate) fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Replies with the request that it got.
struct Weather {
    gate: Arc<Semaphore>,
    work: Duration,
    worked: Arc<AtomicUsize>,
}

impl Handler for Weather {
    async fn handle(&self, work: Work) -> Response {
        self.worked.fetch_add(1, Ordering::Relaxed);
        let _permit = self.gate.acquire().await;
        tokio::time::sleep(self.work).await;
        let request: Value = serde_json::from_slice(&work.request.body).expect("ingress sends JSON");
        if request["city"] == "Busy" {
            return Response::problem(work.request.id, 503, "too busy")
                .retry_after(Duration::from_millis(6_500));
        }
        let body = json!({"requestId": work.request.id, "request": request});
        Response::json(body.to_string())
    }
}

pub(crate) fn responder_settings() -> ResponderSettings {
    ResponderSettings {
        group: GroupSettings {
            stream: REQUESTS.parse().expect("a name"),
            group: "weather-workers".to_owned(),
            consumer: "w1".to_owned(),
            start: Start::default(),
            block: Duration::from_secs(2),
            claim_min_idle: Duration::from_secs(2),
            lease_renewal: Duration::from_millis(500),
            grace: Duration::from_secs(3),
            dead_letters_kept: 1_000,
        },
        worker: "w1".into(),
        reply_stream: "weather-responses".parse().expect("a name"),
        concurrency: 64,
        handler_timeout: Duration::from_secs(30),
        max_deliveries: 5,
        request_timeout: Duration::from_secs(30),
        housekeeping: None,
        tracer: Tracer::default(),
    }
}

/// Creates the consumer group, as a worker does. Without it, ingress would refuse requests at once,
/// because there was never a worker.
pub(crate) fn create_group(server: &RedisServer) {
    let () = server.command(&["XGROUP", "CREATE", REQUESTS, "weather-workers", "1-1", "MKSTREAM"]);
}

/// The number of requests on the stream.
pub(crate) fn stored(server: &RedisServer) -> u64 {
    server.command(&["XLEN", REQUESTS])
}
