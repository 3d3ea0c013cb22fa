//! A routes file in a folder of its own, an ingress that serves it, and workers of its streams.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::routes::Priority;
use reqwest::Method;
use serde_json::json;
use service::api_key::KeyHash;
use streamgate::connection::{ConnectionMetrics, Redis, RedisSettings};
use streamgate::envelope::HttpHead;
use streamgate::responder::{Handler, Responder, ResponderMetrics, ResponderSettings, Response, Work};
use streamgate::telemetry::Readiness;
use streamgate::testing::{RedisServer, eventually_async};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, Ingress, responder_settings, send};

/// A folder with a routes file.
pub(super) struct RoutesFile {
    folder: TempDir,
}

impl RoutesFile {
    /// A file with these routes, below `version: 1`.
    pub(super) fn with(text: &str) -> Self {
        let file = Self { folder: tempfile::tempdir().expect("a temporary folder") };
        file.write(text);
        file
    }

    pub(super) fn write(&self, text: &str) {
        self.add("routes.yaml", &format!("version: 1\n{text}"));
    }

    /// Writes another file of the folder, all at once.
    pub(super) fn add(&self, name: &str, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).expect("written");
        std::fs::rename(new, self.folder.path().join(name)).expect("renamed");
    }

    /// Writes a file of API keys; returns its path. Each line is `name:KEY options`.
    pub(super) fn keys(&self, lines: &[&str]) -> String {
        let line = |line: &&str| {
            let (name, rest) = line.split_once(':').expect("a name");
            let (key, options) = rest.split_once(' ').unwrap_or((rest, ""));
            format!("{name}:{} {options}\n", KeyHash::of(key.as_bytes()))
        };
        self.add("keys", &lines.iter().map(line).collect::<String>());
        self.folder.path().join("keys").to_str().expect("text").to_owned()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("routes.yaml")
    }

    /// An ingress that serves this file and is ready.
    pub(super) async fn serve(&self, server: &RedisServer, flags: &[&str]) -> Ingress {
        let path = self.path();
        let flags = [&["--routes-file", path.to_str().expect("text")], flags].concat();
        Ingress::ready(server, &flags).await
    }
}

/// A route that any worker serves: `more` are further lines of it.
pub(super) fn route(id: &str, method: &str, path: &str, stream: &str, more: &str) -> String {
    let more: String = more.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "  - id: {id}\n    match: {{method: {method}, path: '{path}'}}\n    stream: {stream}\n    handler: external\n{more}"
    )
}

/// A worker of one stream, which stops on drop. It keeps the heads of what it got.
pub(super) struct Echo {
    pub(super) seen: Arc<Mutex<Vec<HttpHead>>>,
    gate: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Echo {
    /// Starts a worker of `stream` that replies at once, as the query of the request says: `status=N`, `reply=JSON`;
    /// otherwise with the body of the request.
    pub(super) async fn on(server: &RedisServer, stream: &str) -> Self {
        let echo = Self::holding(server, stream).await;
        echo.release();
        echo
    }

    /// Starts a worker that holds every request until [`Echo::release`].
    pub(super) async fn holding(server: &RedisServer, stream: &str) -> Self {
        let (seen, gate, stop) =
            (Arc::<Mutex<_>>::default(), Arc::new(Semaphore::new(0)), CancellationToken::new());
        let readiness = Readiness::default();
        let settings = RedisSettings::new(server.url().parse().expect("a URL"));
        let redis = Redis::open(settings, ConnectionMetrics::declare(), readiness.latch("redis"));
        let mut settings: ResponderSettings = responder_settings();
        settings.group.stream = stream.parse().expect("a name");
        settings.group.group =
            format!("{}-workers", stream.trim_end_matches(".high").trim_end_matches(".low"));
        let metrics = ResponderMetrics::declare(&settings);
        let handler = Replies { seen: Arc::clone(&seen), gate: Arc::clone(&gate) };
        let responder = Responder::new(redis.expect("opens"), settings, metrics, &readiness, handler);
        tokio::spawn(responder.run(stop.clone(), Duration::from_secs(10)));
        eventually_async("the worker reads", || async { readiness.is_ready() }).await;
        Self { seen, gate, stop }
    }

    pub(super) fn release(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    /// The number of requests that it got.
    pub(super) fn count(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    /// The last request that it got.
    pub(super) fn last(&self) -> HttpHead {
        self.seen.lock().expect("not poisoned").last().expect("a request").clone()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Replies {
    seen: Arc<Mutex<Vec<HttpHead>>>,
    gate: Arc<Semaphore>,
}

impl Handler for Replies {
    async fn handle(&self, work: Work) -> Response {
        let head = *work.request.http.expect("ingress sends the head");
        let query = head.target.split_once('?').map_or("", |(_, query)| query).to_owned();
        self.seen.lock().expect("not poisoned").push(head);
        let _permit = self.gate.acquire().await;
        let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
        let mut response = Response::new(200, work.request.content_type, work.request.body);
        if let Some(reply) = of("reply=") {
            response = Response::json(reply);
        }
        if let Some(status) = of("status=") {
            response.status = status.parse().expect("a status");
        }
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        response.headers = vec![
            header("etag", "\"7\""),
            header("x-total", "3"),
            header("x-request-id", "forged"),
            header("x-forwarded-for", "10.0.0.1"),
            header("content-length", "1"),
            header("connection", "close"),
            header("set-cookie", "a=1"),
            header("server", "hidden"),
        ];
        response
    }
}

/// Sends a request with a body of JSON.
pub(super) async fn post(ingress: &Ingress, path: &str, body: &serde_json::Value) -> Answer {
    let request = ingress.request(Method::POST, path).header("content-type", "application/json");
    send(request.body(body.to_string())).await
}

/// The number of requests on a stream.
pub(super) fn stored_on(server: &RedisServer, stream: &str) -> u64 {
    server.command(&["XLEN", stream])
}

/// The stream of a priority.
pub(super) fn of_priority(stream: &str, priority: Priority) -> String {
    priority.stream(&stream.parse().expect("a name")).to_string()
}

/// A body.
pub(super) fn order(quantity: i64) -> serde_json::Value {
    json!({"item": "tea", "quantity": quantity})
}
