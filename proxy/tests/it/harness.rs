//! Helpers for tests of a whole worker, which runs in the process of the test.

use std::net::SocketAddr;
use std::time::Duration;

use proxy::config::Settings;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder};
use serde_json::Value;
use service::config::from_args;
use service::http::listen;
use streamgate::telemetry::Tracer;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const REQUESTS: &str = "weather-requests";
pub(crate) const DEAD_LETTERS: &str = "{weather-requests}:dlq";
pub(crate) const TOKEN: &str = "a-token-for-tests-only";
pub(crate) const REPLIES: &str = "weather-responses";
/// The timeout of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running proxy on a port of its own; it stops when this value is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    stop: CancellationToken,
    client: Client,
    token: Option<&'static str>,
}

impl Proxy {
    /// Starts a proxy and waits until it is ready.
    pub(crate) async fn ready(server: &RedisServer, flags: &[&str]) -> Self {
        let url = server.url();
        let mut args = vec!["proxy", "--redis-url", &url];
        if !flags.contains(&"--worker-name") {
            args.extend(["--worker-name", "w1"]);
        }
        let settings = from_args::<Settings>(args.into_iter().chain(flags.iter().copied()))
            .unwrap_or_else(|refusal| panic!("{refusal:?}"));
        let listener = listen(([127, 0, 0, 1], 0).into(), "PROXY_LISTEN").expect("a free port");
        let (address, stop) = (listener.local_addr().expect("bound"), CancellationToken::new());
        tokio::spawn(proxy::run(settings, listener, Tracer::default(), stop.clone()));
        let proxy = Self { address, stop, client: client().build().expect("a client"), token: None };
        eventually_async("the proxy is ready", async || proxy.get("/readyz").await.status == 200).await;
        proxy
    }

    /// Starts a proxy with an admin token, which all requests of the test carry, and waits until it is ready.
    pub(crate) async fn with_admin(server: &RedisServer, flags: &[&str]) -> Self {
        let flags = [&["--admin-token", TOKEN], flags].concat();
        let mut proxy = Self::ready(server, &flags).await;
        proxy.token = Some(TOKEN);
        proxy
    }

    pub(crate) async fn get(&self, path: &str) -> HttpAnswer {
        self.ask(Method::GET, path).await
    }

    pub(crate) async fn ask(&self, method: Method, path: &str) -> HttpAnswer {
        self.send(self.request(method, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> HttpAnswer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// Sends the bytes of `request` and reads until the connection ends.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("accepted");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        match timeout(PATIENCE, stream.read_to_string(&mut answer)).await {
            Ok(read) => read.expect("answered and closed"),
            Err(_) => panic!("not answered and closed within {PATIENCE:?}: {request}"),
        };
        answer
    }

    /// A request that the test can change before sending it.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        match self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(crate) async fn send(&self, request: RequestBuilder) -> HttpAnswer {
        let response = request.send().await.expect("answered");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        HttpAnswer { status, headers, text: response.text().await.expect("text") }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl HttpAnswer {
    /// The JSON of a 200.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the parts that all problems share.
    pub(crate) fn assert_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers[CONTENT_TYPE], "application/problem+json", "{self:?}");
        let problem: Value = serde_json::from_str(&self.text).expect("JSON");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

/// A builder of clients that use no HTTP proxy and follow no redirect.
pub(crate) fn client() -> ClientBuilder {
    // The client needs a TLS implementation, although no test uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redirects = reqwest::redirect::Policy::none();
    Client::builder().no_proxy().redirect(redirects)
}

/// Adds an entry to a stream.
pub(crate) fn add(server: &RedisServer, stream: &str, fields: &[&str]) -> String {
    server.command(&[&["XADD", stream, "*"], fields].concat())
}

/// The entries of a stream, oldest first: ids and fields.
pub(crate) fn entries(server: &RedisServer, stream: &str) -> Vec<(String, Vec<(String, String)>)> {
    let entries: Vec<(String, Vec<String>)> = server.command(&["XRANGE", stream, "-", "+"]);
    let pairs = |fields: Vec<String>| fields.chunks(2).map(|f| (f[0].clone(), f[1].clone())).collect();
    entries.into_iter().map(|(id, fields)| (id, pairs(fields))).collect()
}

/// The value of a metric with this name and these labels, if the text has it.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    let has_name = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']) && !name.is_empty())
    };
    text.lines().find(has_name)?.rsplit(' ').next()?.parse().ok()
}

/// Adds a valid request to the request stream.
pub(crate) fn add_request(server: &RedisServer) -> String {
    let (id, body) = ("01976c5e-5a80-7000-8000-000000000001", r#"{"city":"Berlin"}"#);
    add(server, REQUESTS, &["id", id, "reply_to", REPLIES, "body", body])
}
