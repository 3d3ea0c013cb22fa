//! Metrics and probes on a listener, a thread and a runtime of their own, so that a probe never
//! queues behind the hot path.

use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::PrometheusHandle;
use streamgate::http::admin;
use streamgate::telemetry::Readiness;
use tokio_util::sync::CancellationToken;

use crate::metrics::ConnectionMetrics;
use crate::routes::health::Health;
use crate::server::{self, ServerLimits};
use crate::upstream::Upstream;

/// Probes and scrapes are few and short.
const LIMITS: ServerLimits = ServerLimits {
    connections: 256,
    first_request: Duration::from_secs(10),
    idle: Duration::from_secs(75),
    drain: Duration::from_millis(500),
};
/// Recorded histogram values wait in memory until they are folded into their buckets.
const UPKEEP: Duration = Duration::from_secs(2);

/// `/metrics`, `/livez`, `/readyz` and `/healthz`.
pub fn routes<U: Upstream>(
    metrics: PrometheusHandle,
    readiness: Readiness,
    health: Health<U>,
) -> axum::Router {
    let report = move || async move { health.report().into_response().map(Body::new) };
    admin::routes(metrics, readiness).route("/healthz", get(report))
}

/// The running admin thread; dropping it stops it, [`Admin::stop`] waits for its end too.
#[derive(Debug)]
pub struct Admin {
    stop: CancellationToken,
    ended: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Admin {
    /// Returns once the thread has ended, for whatever reason.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Finishes the requests under way and ends the thread.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let Some(thread) = self.thread.take() else { return };
        // It ends within its drain time; a thread that panicked has said so itself.
        let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    }
}

/// Serves `routes` on `listener` from a new thread, and keeps `metrics` tidy.
///
/// # Errors
/// The runtime, the listener or the thread could not be made.
pub fn start(listener: TcpListener, routes: axum::Router, metrics: PrometheusHandle) -> io::Result<Admin> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _in_runtime = runtime.enter();
        tokio::net::TcpListener::from_std(listener)?
    };
    let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
    let (stopped, end) = (stop.clone(), ended.clone().drop_guard());
    let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
        let _end = end;
        runtime.block_on(async {
            let answers = TowerToHyperService::new(routes);
            let serving =
                server::serve(listener, LIMITS, ConnectionMetrics::noop(), stopped, move |request| {
                    answer(answers.clone(), request)
                });
            tokio::select! {
                _ = serving => {}
                () = upkeep(metrics) => {}
            }
        });
    })?;
    Ok(Admin { stop, ended, thread: Some(thread) })
}

async fn answer(routes: TowerToHyperService<axum::Router>, request: Request<Incoming>) -> Response {
    routes.call(request).await.unwrap_or_else(|never: Infallible| match never {})
}

async fn upkeep(metrics: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use streamgate::telemetry::metrics::prometheus_recorder;

    use super::*;
    use crate::listeners::listen;

    #[tokio::test]
    async fn it_answers_while_the_main_thread_is_busy_and_ends_when_told() {
        let listener = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let metrics = prometheus_recorder().expect("valid buckets").handle();
        let routes = admin::routes(metrics.clone(), Readiness::default());
        let admin = start(listener, routes, metrics).expect("started");

        // Blocks the only thread of this runtime, as a hot path would.
        let heard = ask(address, "GET /livez HTTP/1.0\r\n\r\n");
        admin.stop().await;

        assert!(heard.starts_with("HTTP/1.0 200"), "{heard}");
        assert!(TcpStream::connect(address).is_err(), "the listener is still open");
    }

    fn ask(address: std::net::SocketAddr, head: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = TcpStream::connect(address).expect("accepted");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("valid");
        stream.write_all(head.as_bytes()).expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        text
    }
}
