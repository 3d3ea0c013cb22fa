//! A proxy with a routes file, and the asking side of a gateway.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use streamgate::connection::{ConnectionMetrics, Redis, RedisSettings};
use streamgate::envelope::{CorrelationId, HttpHead, Reply};
use streamgate::requester::{
    Call, Destination, DestinationMetrics, DestinationSettings, RequestError, Requester, RequesterMetrics,
    RequesterSettings,
};
use streamgate::telemetry::{Readiness, Tracer};
use streamgate::testing::RedisServer;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::{Proxy, REPLIES};

/// The timeout of a request that should be answered.
pub(crate) const PLENTY: Duration = Duration::from_secs(30);

/// A routes file in a folder of its own.
pub(crate) struct RoutesFile(TempDir);

impl RoutesFile {
    pub(crate) fn new(text: &str) -> Self {
        let file = Self(tempfile::tempdir().expect("a folder"));
        file.write(text);
        file
    }

    /// Puts another file in its place.
    pub(crate) fn write(&self, text: &str) {
        let new = self.0.path().join("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.path()).expect("renamed");
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("routes.yaml")
    }
}

/// A file with one route for every request, on the stream `jobs`. `of_route` and `of_upstream` are further keys.
pub(crate) fn one_route(url: &str, of_route: &str, of_upstream: &str) -> String {
    format!(
        "version: 1
routes:
  - id: jobs
    match: {{method: [GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS], path: '/{{*rest}}'}}
    stream: jobs
    upstream: up
    {of_route}
upstreams:
  up:
    url: '{url}'
    connect: 500ms
    {of_upstream}
"
    )
}

/// A request as a gateway writes it.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) stream: &'static str,
    pub(crate) head: HttpHead,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    pub(crate) timeout: Duration,
}

impl Ask {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let head = HttpHead {
            route: "jobs".to_owned(),
            method: method.to_owned(),
            target: target.to_owned(),
            ..HttpHead::default()
        };
        Self { stream: "jobs", head, content_type: "text/plain", body: Bytes::new(), timeout: PLENTY }
    }

    pub(crate) fn get() -> Self {
        Self::new("GET", "/")
    }

    pub(crate) fn post(body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::new("POST", "/") }
    }

    pub(crate) fn within(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) fn on(mut self, stream: &'static str, route: &str) -> Self {
        self.stream = stream;
        route.clone_into(&mut self.head.route);
        self
    }

    pub(crate) fn at_most_once(mut self) -> Self {
        self.head.at_most_once = true;
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The asking side.
pub(crate) struct Asker {
    requester: Requester,
    readiness: Readiness,
    stop: CancellationToken,
}

impl Asker {
    pub(crate) fn new(server: &RedisServer) -> Self {
        let settings = RedisSettings::new(server.url().parse().expect("a URL"));
        let latch = Readiness::default().latch("redis");
        let redis = Redis::open(settings, ConnectionMetrics::declare(), latch).expect("opens");
        let (readiness, stop) = (Readiness::default(), CancellationToken::new());
        let settings = RequesterSettings {
            reply_stream: REPLIES.parse().expect("a name"),
            replica: None,
            max_in_flight: 10_000,
            longest_timeout: Duration::from_secs(120),
            busy_poll: Duration::ZERO,
            tracer: Tracer::default(),
        };
        let metrics = RequesterMetrics::declare(&settings);
        let requester = Requester::start(redis, settings, metrics, &readiness, stop.clone());
        Self { requester: requester.expect("a lane"), readiness, stop }
    }

    pub(crate) async fn try_ask(&self, ask: Ask) -> Result<Reply, RequestError> {
        let call = Call {
            to: self.destination(ask.stream).await,
            id: CorrelationId::mint(),
            trace: None,
            content_type: ask.content_type.into(),
            body: ask.body,
            timeout: ask.timeout,
            http: Some(Box::new(ask.head)),
        };
        self.requester.request(call).await.map(|answer| answer.reply)
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        self.try_ask(ask).await.expect("a reply")
    }

    /// The stream, once requests to it are admitted.
    async fn destination(&self, stream: &'static str) -> Destination {
        let stream = stream.parse().expect("a name");
        let metrics = DestinationMetrics::declare(&stream);
        let settings = DestinationSettings { stream, workers: None };
        let destination = self.requester.destination(settings, metrics);
        let admitted = async {
            while !(self.readiness.is_ready() && destination.is_permitted()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(PLENTY, admitted).await.expect("requests to the stream are admitted");
        destination
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A server, a proxy with a routes file, and the asking side.
pub(crate) struct Gateway {
    pub(crate) asker: Asker,
    pub(crate) proxy: Proxy,
    pub(crate) file: RoutesFile,
    pub(crate) server: RedisServer,
}

impl Gateway {
    pub(crate) async fn start(routes: &str) -> Self {
        Self::start_with(routes, &[]).await
    }

    pub(crate) async fn start_with(routes: &str, flags: &[&str]) -> Self {
        let (server, file) = (RedisServer::start(), RoutesFile::new(routes));
        let path = file.path();
        let flags = [&["--routes-file", path.to_str().expect("text")], flags].concat();
        let proxy = Proxy::with_admin(&server, &flags).await;
        Self { asker: Asker::new(&server), proxy, file, server }
    }

    /// With one route to the upstream at `url`.
    pub(crate) async fn to(url: &str, of_route: &str, of_upstream: &str) -> Self {
        Self::start(&one_route(url, of_route, of_upstream)).await
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Reply {
        self.asker.ask(ask).await
    }

    pub(crate) fn dead_letters(&self) -> u64 {
        self.server.command(&["XLEN", "{jobs}:dlq"])
    }
}

/// The text of a reply.
pub(crate) fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}
