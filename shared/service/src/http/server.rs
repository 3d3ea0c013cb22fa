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

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// How many are served at once; more wait in the system's accept queue.
    pub connections: usize,
    /// How long one may take to send the head of a request, the time before it included.
    pub header_timeout: Duration,
    /// How long one may leave its answers unread.
    pub write_timeout: Duration,
    /// How long requests under way may take once the server stops.
    pub drain: Duration,
}

impl ServerLimits {
    /// The same, with no more connections than the process may open files for: a flood must leave
    /// Redis and the admin listener theirs.
    pub fn within_open_files(self) -> Self {
        Self { connections: open_files::for_public(self.connections), ..self }
    }
}

/// Connections of one listener.
#[derive(Clone)]
pub struct ServerMetrics {
    /// Open connections.
    pub open: Gauge,
    /// How many are served at once.
    pub limit: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Failures to accept, such as too many open files.
    pub accept_errors: Counter,
    /// Connections whose peer was too slow to ask or to take its answer.
    pub timed_out: Counter,
}

impl ServerMetrics {
    /// Declares them on the recorder in force.
    pub fn declare() -> Self {
        Self {
            open: declare_gauge("http_connections", "Open connections of the public listener"),
            limit: declare_gauge(
                "http_connections_limit",
                "Connections the public listener serves at once: MAX_CONNECTIONS, or fewer if the process may open few files",
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
                "Connections ended because their peer was too slow to ask, or to take its answer",
            ),
        }
    }

    /// Counts nothing: for listeners nobody watches.
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

/// Serves `router` over HTTP/1.1 and HTTP/2 until `stop`; then closes the listener, lets requests
/// under way finish for at most `limits.drain`, and cuts off the rest. Answers whether all finished.
///
/// `axum::serve` would neither set TCP_NODELAY nor bound the time a header may take.
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
            http.converse(stream).await;
        });
    }
    drop(listener);
    connections.close();
    tokio::time::timeout(limits.drain, connections.wait()).await.is_ok()
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    // Answers are written whole: Nagle's algorithm would only delay them.
    stream.set_nodelay(true)?;
    Ok((stream, place))
}

/// Out of files or memory: accepting again at once would be a hot loop, and a line for each failure
/// would fill a disk.
async fn pause_after(error: &io::Error, backoff: &mut Backoff, metrics: &ServerMetrics) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, InvalidInput};
    metrics.accept_errors.increment(1);
    // The peer was gone before it was accepted: nothing is wrong here (accept(2)).
    if matches!(error.kind(), ConnectionAborted | ConnectionReset | InvalidInput) {
        return;
    }
    if backoff.attempts() == 0 {
        tracing::warn!(%error, "connections cannot be accepted; trying again until they can");
    }
    tokio::time::sleep(backoff.next_delay()).await;
}

/// A connection in the gauge.
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

    async fn within_patience<T>(waiting: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("in time")
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn a_peer_that_sends_nothing_or_half_a_header_is_cut_off() {
        let limits = ServerLimits { header_timeout: Duration::from_millis(50), ..limits() };
        let server = start(Router::new(), limits).await;

        for start in ["", "P", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost:"] {
            let stream = send(server.address, start).await;
            let heard = within_patience(rest(stream)).await;
            assert!(!heard.contains("200"), "{heard} after {start:?}");
        }
    }

    #[tokio::test]
    async fn both_protocols_are_spoken_on_one_port() {
        let server = start(Router::new().route("/", get(|| async { "hello" })), limits()).await;

        let one = within_patience(rest(send(server.address, GET).await)).await;
        let mut two = send(server.address, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut frame = [0; 9];
        within_patience(two.read_exact(&mut frame)).await.expect("a frame");

        assert!(one.ends_with("hello"), "{one}");
        assert_eq!(frame[3], 4, "the server speaks first, with SETTINGS (RFC 9113, 3.4): {frame:?}");
    }

    #[tokio::test]
    async fn connections_beyond_the_cap_wait_for_a_place() {
        let router = Router::new().route("/", get(|| async { "hello" }));
        let uncapped = start(router.clone(), limits()).await;
        let server = start(router, ServerLimits { connections: 1, ..limits() }).await;
        let first = send(server.address, "GET / HTTP/1.1\r\n").await;

        let second = tokio::spawn(rest(send(server.address, GET).await));

        // These came later and need as many turns of the runtime, so the second had its chance.
        for _ in 0..10 {
            assert!(rest(send(uncapped.address, GET).await).await.ends_with("hello"));
        }
        assert!(!second.is_finished(), "served beyond the cap");
        drop(first);
        assert!(within_patience(second).await.expect("joins").ends_with("hello"));
    }

    #[tokio::test]
    async fn a_peer_that_has_asked_nothing_does_not_hold_up_the_stop() {
        let hour = Duration::from_secs(3_600);
        let router = Router::new().route("/", get(|| async { "hello" }));
        let server = start(router, ServerLimits { header_timeout: hour, drain: hour, ..limits() }).await;
        let silent = send(server.address, "").await;
        let hesitant = send(server.address, "PRI").await;
        // Connections are accepted in their order.
        assert!(rest(send(server.address, GET).await).await.ends_with("hello"));

        server.stop.cancel();

        assert!(within_patience(server.finished).await.expect("joins"), "nothing was cut off");
        assert_eq!(within_patience(rest(silent)).await, "");
        assert_eq!(within_patience(rest(hesitant)).await, "");
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
