//! Metrics and probes. They have their own listener, thread and runtime, so that a probe never waits
//! behind requests.

use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio_util::sync::CancellationToken;

use super::{ServerLimits, ServerMetrics, host, open_files, serve};
use crate::exporter::{ProcessMetrics, Scrapes};
use crate::liveness::Liveness;
use streamgate::telemetry::Readiness;

/// The limits are small: probes, scrapes and operations are few and short.
const LIMITS: ServerLimits = ServerLimits {
    connections: open_files::ADMIN_CONNECTIONS as usize,
    header_timeout: Duration::from_secs(30),
    write_timeout: Duration::from_secs(30),
    drain: Duration::from_millis(500),
};

/// How often the metrics about the process are read from the system.
const REFRESH: Duration = Duration::from_secs(2);

/// The routes of an admin listener. `/metrics` answers in the Prometheus text format. `/livez` answers
/// 200 while the main runtime runs its tasks, also without Redis, else 503. `/readyz` answers 200, or
/// 503 with the names of the parts that are not ready. Every other path answers 404 with the names of these.
pub fn routes(metrics: Scrapes, liveness: Liveness, readiness: Readiness) -> Router {
    let scrape = move || async move {
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
    };
    let routes = Router::new().route("/metrics", get(scrape)).merge(health(liveness, readiness));
    routes.fallback(absent).layer(from_fn(require_host))
}

async fn absent() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "there is no such path; there are: /metrics, /livez, /readyz\n")
}

/// Refuses requests without one valid host, as RFC 9112, 3.2, demands.
async fn require_host(request: Request, next: Next) -> Response {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    }
}

/// `/livez` and `/readyz` without `/metrics`.
pub fn health(liveness: Liveness, readiness: Readiness) -> Router {
    let live = Router::new().route("/livez", get(live)).with_state(liveness);
    live.merge(Router::new().route("/readyz", get(ready)).with_state(readiness))
}

/// The answer at `/livez`.
pub async fn live(State(liveness): State<Liveness>) -> (StatusCode, &'static str) {
    match liveness.is_alive() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not alive: the main runtime runs no tasks\n"),
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    match readiness.missing() {
        missing if missing.is_empty() => (StatusCode::OK, "ready\n".to_owned()),
        missing => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))),
    }
}

/// A running admin thread. Dropping this handle asks the thread to end; [`AdminThread::stop`] also
/// waits for the end.
#[derive(Debug)]
pub struct AdminThread {
    stop: CancellationToken,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl AdminThread {
    /// Starts a thread that serves `router` on `listener`, updates the metrics of the `process` and checks
    /// whether the main runtime ticks.
    ///
    /// # Errors
    /// The system refuses the runtime, the listener or the thread.
    pub fn start(
        listener: TcpListener,
        router: Router,
        process: ProcessMetrics,
        liveness: Liveness,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _in_runtime = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let limits = ServerLimits { connections: open_files::for_admin(), ..LIMITS };
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let (stopped, end) = (stop.clone(), ended.clone().drop_guard());
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            let _end = end;
            runtime.block_on(async {
                tokio::select! {
                    _ = serve(listener, router, limits, ServerMetrics::noop(), stopped) => {}
                    () = refresh_for_ever(process) => {}
                    () = liveness.watch() => {}
                }
            });
        })?;
        Ok(Self { stop, ended, thread: Some(thread) })
    }

    /// Returns once the thread has ended, for any reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Finishes the requests under way and ends the thread.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // The thread ends within its drain time. If it panicked, the panic hook has logged that.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for AdminThread {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn refresh_for_ever(process: ProcessMetrics) {
    let mut ticks = tokio::time::interval(REFRESH);
    loop {
        ticks.tick().await;
        process.refresh();
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;

    use super::*;
    use crate::exporter::MetricsRecorder;
    use crate::http::listen;

    #[tokio::test]
    async fn it_answers_while_the_main_thread_is_blocked_until_stopped() {
        let listener = listen(([127, 0, 0, 1], 0).into(), "X").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let recorder = MetricsRecorder::default();
        let metrics = recorder.handle();
        let process = ProcessMetrics::declare(Arc::new(recorder), "test", "0");
        let liveness = Liveness::default();
        let routes = routes(metrics.clone(), liveness.clone(), Readiness::default());
        let admin = AdminThread::start(listener, routes, process, liveness).expect("starts");

        // `ask` blocks the only thread of this runtime, as a request that computes for long would.
        let answer = ask(address, "GET /livez HTTP/1.0\r\n\r\n");
        let elsewhere = ask(address, "GET / HTTP/1.0\r\n\r\n");
        let without_host = ask(address, "GET /livez HTTP/1.1\r\nconnection: close\r\n\r\n");
        admin.stop().await;

        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        assert!(elsewhere.starts_with("HTTP/1.0 404"), "{elsewhere}");
        assert!(elsewhere.ends_with("there are: /metrics, /livez, /readyz\n"), "{elsewhere}");
        assert!(without_host.starts_with("HTTP/1.1 400"), "{without_host}");
        assert!(TcpStream::connect(address).is_err(), "the listener is still open");
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).expect("accepted");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("valid");
        stream.write_all(request.as_bytes()).expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    }
}
