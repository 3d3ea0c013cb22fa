use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use metrics::{Counter, Gauge};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Http;
use super::open_files;
use streamgate::resilience::Backoff;
use streamgate::telemetry::{declare_counter, declare_gauge};

/// The limits of a server's connections.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// How many connections are served at once; more wait in the system's accept queue.
    pub connections: usize,
    /// How long a peer may take to send the head of a request, counted from the end of the request
    /// before or from the start of the connection.
    pub header_timeout: Duration,
    /// How long a peer may read nothing of its answers.
    pub write_timeout: Duration,
    /// How long requests under way may take once the server stops.
    pub drain: Duration,
}

impl ServerLimits {
    /// The same limits, with fewer connections if the limit of open files is too low: many public
    /// connections must leave open files for Redis and for the admin listener.
    pub fn within_open_files(self) -> Self {
        Self { connections: open_files::for_public(self.connections), ..self }
    }
}

/// Metrics about the connections of one listener.
#[derive(Clone)]
pub struct ServerMetrics {
    /// Open connections.
    pub open: Gauge,
    /// How many connections are served at once.
    pub limit: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Failures to accept, such as too many open files.
    pub accept_errors: Counter,
    /// Connections that were closed because the peer sent or read too slowly.
    pub timed_out: Counter,
}

impl ServerMetrics {
    /// Declares the metrics on the current recorder.
    pub fn declare() -> Self {
        Self {
            open: declare_gauge("http_connections", "Open connections of the public listener"),
            limit: declare_gauge(
                "http_connections_limit",
                "Connections the public listener serves at once: MAX_CONNECTIONS, or fewer if the limit of open files is too low",
            ),
            accepted: declare_counter(
                "http_connections_accepted_total",
                "Connections accepted on the public listener",
            ),
            accept_errors: declare_counter(
                "http_accept_errors_total",
                "Failures to accept a connection, such as too many open files",
            ),
            timed_out: declare_counter(
                "http_connections_timed_out_total",
                "Connections closed because the peer sent its request, or read its answer, too slowly",
            ),
        }
    }

    /// Metrics that count nothing, for listeners without metrics.
    pub fn noop() -> Self {
        Self {
            open: Gauge::noop(),
            limit: Gauge::noop(),
            accepted: Counter::noop(),
            accept_errors: Counter::noop(),
            timed_out: Counter::noop(),
        }
    }
}

/// Serves `router` over HTTP/1.1 and HTTP/2 until `stop`. Then it closes the listener, waits for the
/// requests under way for at most `limits.drain`, and cuts off the others. Returns true if all requests
/// finished.
///
/// `axum::serve` neither sets TCP_NODELAY nor limits the time for the head of a request.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ServerLimits,
    metrics: ServerMetrics,
    stop: CancellationToken,
) -> bool {
    let http = Arc::new(Http::new(router, limits, metrics.clone(), stop.clone()));
    let places = Arc::new(Semaphore::new(limits.connections));
    metrics.limit.set(limits.connections as f64);
    let connections = TaskTracker::new();
    let _cut_off = http.cut_off.clone().drop_guard();
    let mut accept_backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error, &mut accept_backoff, &metrics).await;
                continue;
            }
        };
        accept_backoff.reset();
        metrics.accepted.increment(1);
        let held = (place, Open::new(metrics.open.clone()));
        let http = Arc::clone(&http);
        connections.spawn(async move {
            let _held = held;
            http.serve(stream).await;
        });
    }
    drop(listener);
    connections.close();
    tokio::time::timeout(limits.drain, connections.wait()).await.is_ok()
}

/// Accepts the next connection once fewer than `limits.connections` are open.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Each answer is written at once, so Nagle's algorithm would only delay it.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Waits before the next attempt to accept. If the system has no files or memory left, a loop without
/// a pause would use a whole core, and a log line per failure would fill the disk.
async fn pause_after(error: &io::Error, backoff: &mut Backoff, metrics: &ServerMetrics) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput};
    metrics.accept_errors.increment(1);
    // The peer left before its connection was accepted; this process has no problem (accept(2)).
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput) {
        return;
    }
    if backoff.attempts() == 0 {
        tracing::warn!(%error, "cannot accept connections; retrying until it works");
    }
    tokio::time::sleep(backoff.next_delay()).await;
}

/// Counts an open connection in the gauge until it is dropped.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;

    use super::*;

    struct Running {
        address: SocketAddr,
        stop: CancellationToken,
        finished: tokio::task::JoinHandle<bool>,
    }

    async fn start(router: Router, limits: ServerLimits) -> Running {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stop = CancellationToken::new();
        let finished = tokio::spawn(serve(listener, router, limits, ServerMetrics::noop(), stop.clone()));
        Running { address, stop, finished }
    }

    fn limits() -> ServerLimits {
        ServerLimits {
            connections: 100,
            header_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(20),
            drain: Duration::from_secs(20),
        }
    }

    async fn send(address: SocketAddr, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("accepted");
        stream.write_all(bytes.as_bytes()).await.expect("written");
        stream
    }

    async fn rest(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text).await;
        text
    }

    async fn in_time<T>(waiting: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time")
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_peer_that_sends_nothing_or_half_a_head_is_cut_off() {
        let limits = ServerLimits { header_timeout: Duration::from_millis(50), ..limits() };
        let server = start(Router::new(), limits).await;

        for start in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
            let stream = send(server.address, start).await;
            let heard = in_time(rest(stream)).await;
            assert!(!heard.contains("200"), "{heard} after {start:?}");
        }
    }

    #[tokio::test]
    async fn both_protocols_are_served_on_one_port() {
        let server = start(Router::new().route("/", get(|| async { "hello" })), limits()).await;

        let one = in_time(rest(send(server.address, GET).await)).await;
        let mut two = send(server.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut frame = [0; 9];
        in_time(two.read_exact(&mut frame)).await.expect("a frame");

        assert!(one.ends_with("hello"), "{one}");
        assert_eq!(frame[3], 4, "the server speaks first, with SETTINGS (RFC 9113, 3.4): {frame:?}");
    }

    #[tokio::test]
    async fn connections_over_the_limit_wait_until_another_ends() {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let uncapped = start(router.clone(), limits()).await;
        let server = start(router, ServerLimits { connections: 1, ..limits() }).await;
        let first = send(server.address, "GET / HTTP/1.1\r\n").await;

        let second = tokio::spawn(rest(send(server.address, GET).await));

        // The server had time for the second connection: these requests came later and are answered.
        for _ in 0..10 {
            assert!(rest(send(uncapped.address, GET).await).await.ends_with("hello"));
        }
        assert!(!second.is_finished(), "served over the limit");
        drop(first);
        assert!(in_time(second).await.expect("joins").ends_with("hello"));
    }

    #[tokio::test]
    async fn a_peer_without_a_request_does_not_delay_the_stop() {
        let hour = Duration::from_secs(3_600);
        let router = Router::new().route("/", get(|| async { "hello" }));
        let server = start(router, ServerLimits { header_timeout: hour, drain: hour, ..limits() }).await;
        let silent = send(server.address, "").await;
        let hesitant = send(server.address, "PRI").await;
        // Connections are accepted in order, so both are accepted once this request is answered.
        assert!(rest(send(server.address, GET).await).await.ends_with("hello"));

        server.stop.cancel();

        assert!(in_time(server.finished).await.expect("joins"), "nothing was cut off");
        assert_eq!(in_time(rest(silent)).await, "");
        assert_eq!(in_time(rest(hesitant)).await, "");
    }

    #[tokio::test]
    async fn a_request_under_way_is_finished_after_the_stop() {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
            move || async move {
                entered.notify_one();
                go_on.notified().await;
                "finished"
            }
        };
        let server = start(Router::new().route("/", get(handler)), limits()).await;
        let stream = send(server.address, GET).await;
        entered.notified().await;

        server.stop.cancel();
        go_on.notify_one();

        assert!(rest(stream).await.ends_with("finished"));
        assert!(server.finished.await.expect("joins"), "nothing was cut off");
        assert!(TcpStream::connect(server.address).await.is_err(), "the listener is closed");
    }
}
