use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Counted};
use super::protocol::{self, Protocol};
use super::stall::Stalling;
use super::{ServerLimits, ServerMetrics};

/// HTTP/2: the most requests under way on one connection (RFC 9113 recommends at least 100).
const CONCURRENT_STREAMS: u32 = 256;
/// HTTP/2: a connection is closed if the peer resets more streams than this before they are accepted.
/// This stops the rapid reset attack, CVE-2023-44487.
const PENDING_RESETS: usize = 32;
/// HTTP/2: how often the server pings a quiet connection, and how long it waits for the response.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: a peer that sends no more requests has this many `write_timeout`s to read its answers. If
/// the peer keeps its HTTP/2 window closed, the server writes nothing, so the write timeout does not
/// notice it. At the default, the peer must read the largest answer (a Swagger UI script of 1.4 MB) at
/// 50 KB/s.
const LAST_ANSWERS: u32 = 3;
/// The largest head of a request, in bytes.
const HEAD_LIMIT: u32 = 32 << 10;

/// What the connections of one listener share.
pub(super) struct Http {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
    router: Router,
    limits: ServerLimits,
    metrics: ServerMetrics,
    /// When cancelled, connections take no more requests; requests under way are finished.
    pub(super) stop: CancellationToken,
    /// When cancelled, connections are closed although requests are under way.
    pub(super) cut_off: CancellationToken,
}

impl Http {
    pub(super) fn new(
        router: Router,
        limits: ServerLimits,
        metrics: ServerMetrics,
        stop: CancellationToken,
    ) -> Self {
        let mut one = http1::Builder::new();
        one.timer(TokioTimer::new())
            .header_read_timeout(limits.header_timeout)
            .max_buf_size(HEAD_LIMIT as usize * 2);
        let mut two = http2::Builder::new(TokioExecutor::new());
        two.timer(TokioTimer::new())
            .max_concurrent_streams(CONCURRENT_STREAMS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_header_list_size(HEAD_LIMIT)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT);
        Self { one, two, router, limits, metrics, stop, cut_off: CancellationToken::new() }
    }

    /// Serves one connection to its end.
    pub(super) async fn serve(&self, stream: TcpStream) {
        let detected = tokio::select! {
            detected = tokio::time::timeout(self.limits.header_timeout, protocol::detect(&stream)) => detected,
            // A peer that has sent no request gets no answer, and the drain must not wait for it.
            () = self.stop.cancelled() => return,
        };
        let detected = match detected {
            Ok(Some(detected)) => detected,
            Ok(None) => return,
            Err(_) => return self.metrics.timed_out.increment(1),
        };
        let io = Stalling::new(stream, self.limits.write_timeout, self.metrics.timed_out.clone());
        let (io, service) = (TokioIo::new(io), TowerToHyperService::new(self.router.clone()));
        match detected {
            Protocol::Http1 => {
                // hyper closes an HTTP/1 connection that is idle for longer than `header_timeout`.
                self.drive(self.one.serve_connection(io, service), std::future::pending()).await;
            }
            Protocol::Http2 => {
                let activity = Activity::new();
                let service = Counted::new(service, activity.clone());
                let idle = activity.idle_for(self.limits.header_timeout);
                self.drive(self.two.serve_connection(io, service), idle).await;
            }
        }
    }

    /// Drives the connection to its end. Once it is `idle` or the server stops, it takes no more
    /// requests.
    async fn drive(&self, connection: impl Connection, idle: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let longest = tokio::select! {
            ended = connection.as_mut() => return self.log(ended),
            () = self.stop.cancelled() => None,
            () = idle => Some(self.limits.write_timeout * LAST_ANSWERS),
        };
        connection.as_mut().finish();
        let overdue = async {
            match longest {
                Some(longest) => tokio::time::sleep(longest).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ended = connection => self.log(ended),
            () = overdue => self.metrics.timed_out.increment(1),
            () = self.cut_off.cancelled() => {}
        }
    }

    fn log(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if error.is_timeout() {
            self.metrics.timed_out.increment(1);
        }
        tracing::debug!(%error, "a connection failed");
    }
}

/// A connection of either protocol.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Takes no more requests. The connection ends when the requests under way are answered.
    fn finish(self: Pin<&mut Self>);
}

type Io = TokioIo<Stalling<TcpStream>>;
type Routes = TowerToHyperService<Router>;

impl Connection for http1::Connection<Io, Routes> {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Connection for http2::Connection<Io, Counted<Routes>, TokioExecutor> {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
