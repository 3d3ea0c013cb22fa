//! A stub of the gateway: a real HTTP server whose answers a test chooses.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use loadtest::Options;
use serde_json::{Value, json};

/// Serves until it is dropped.
pub(crate) struct Gateway {
    address: SocketAddr,
    server: tokio::task::JoinHandle<()>,
}

impl Gateway {
    /// A healthy gateway. `answer` gets the number of the forecast request, counted from 0, and its body.
    pub(crate) async fn start<A, F>(answer: A) -> Self
    where
        A: Fn(u64, Value) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response> + Send + 'static,
    {
        let number = Arc::new(AtomicU64::new(0));
        let forecast =
            post(move |Json(body): Json<Value>| answer(number.fetch_add(1, Ordering::Relaxed), body));
        Self::serve(
            Router::new().route("/healthz", get(|| async {})).route("/WeatherForecast/city", forecast),
        )
        .await
    }

    /// Answers right if the request has `key`, else 401.
    pub(crate) async fn asking_for(key: &'static str) -> Self {
        let answer = move |headers: HeaderMap, Json(body): Json<Value>| async move {
            let presented = headers.get("x-api-key").is_some_and(|value| value == key);
            if presented { forecast(&body) } else { problem(401, "no key") }
        };
        Self::serve(
            Router::new().route("/healthz", get(|| async {})).route("/WeatherForecast/city", post(answer)),
        )
        .await
    }

    /// Answers 503 to the health check.
    pub(crate) async fn unhealthy() -> Self {
        Self::serve(Router::new().route("/healthz", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))).await
    }

    async fn serve(router: Router) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("serving") });
        Self { address, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Options with the address of this gateway and `args`.
    pub(crate) fn options(&self, args: &[&str]) -> Options {
        options(&self.url(), args)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub(crate) fn options(url: &str, args: &[&str]) -> Options {
    loadtest::install_tls();
    Options::read(["loadtest", "--url", url].iter().chain(args)).expect("valid arguments")
}

/// The address of a port on which nothing listens.
pub(crate) fn unused_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

/// A right answer.
pub(crate) fn forecast(body: &Value) -> Response {
    Json(json!({"requestId": "r", "city": body["city"], "location": body["location"], "temperature": 7.5}))
        .into_response()
}

/// An error as the gateway words it.
pub(crate) fn problem(status: u16, detail: &str) -> Response {
    let status = StatusCode::from_u16(status).expect("a status");
    (status, Json(json!({"status": status.as_u16(), "detail": detail}))).into_response()
}
