use std::pin::{Pin, pin};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Watched};
use super::protocol::{self, Protocol};
use super::stall::Stalling;
use super::{ServerLimits, ServerMetrics};

/// HTTP/2: requests one connection may have under way (RFC 9113 recommends no fewer than 100).
const CONCURRENT_STREAMS: u32 = 256;
/// HTTP/2: streams reset before they were accepted, above which a connection is closed: the answer
/// to rapid reset, CVE-2023-44487.
const PENDING_RESETS: usize = 32;
/// HTTP/2: how often a quiet connection is asked whether it is still there, and for how long.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: for how many `write_timeout`s a peer that asks nothing any more may go on reading. Its
/// window may be closed, which no write shows, so this is all the time it has for what it has not
/// read yet. The largest answer, a script of the Swagger UI of 1.4 MB, needs 50 KB/s at the default.
const LAST_ANSWERS: u32 = 3;
/// The largest head of a request, in bytes.
const HEAD_LIMIT: u32 = 32 << 10;

/// What all connections of a listener have in common.
pub(super) struct Http {
    one: http1::Builder,
    two: http2::Builder<TokioExecutor>,
    router: Router,
    limits: ServerLimits,
    metrics: ServerMetrics,
    /// Nothing new is taken any more; requests under way are finished.
    pub(super) stop: CancellationToken,
    /// Requests under way are not waited for any longer.
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
    pub(super) async fn converse(&self, stream: TcpStream) {
        let spoken = tokio::select! {
            spoken = tokio::time::timeout(self.limits.header_timeout, protocol::spoken(&stream)) => spoken,
            // Who has asked nothing yet is owed no answer, and the drain must not wait for it.
            () = self.stop.cancelled() => return,
        };
        let spoken = match spoken {
            Ok(Some(spoken)) => spoken,
            Ok(None) => return,
            Err(_) => return self.metrics.timed_out.increment(1),
        };
        let io = Stalling::new(stream, self.limits.write_timeout, self.metrics.timed_out.clone());
        let (io, service) = (TokioIo::new(io), TowerToHyperService::new(self.router.clone()));
        match spoken {
            Protocol::Http1 => {
                // hyper itself ends one that is idle for longer than a head may take.
                self.see_through(self.one.serve_connection(io, service), std::future::pending()).await;
            }
            Protocol::Http2 => {
                let activity = Activity::new();
                let service = Watched::new(service, activity.clone());
                let idle = activity.ceased(self.limits.header_timeout);
                self.see_through(self.two.serve_connection(io, service), idle).await;
            }
        }
    }

    /// Until the connection ends; once it is `idle` or the server stops, it takes no further
    /// request.
    async fn see_through(&self, connection: impl Connection, idle: impl Future<Output = ()>) {
        let mut connection = pin!(connection);
        let longest = tokio::select! {
            ended = connection.as_mut() => return self.note(ended),
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
            ended = connection => self.note(ended),
            () = overdue => self.metrics.timed_out.increment(1),
            () = self.cut_off.cancelled() => {}
        }
    }

    fn note(&self, ended: hyper::Result<()>) {
        let Err(error) = ended else { return };
        if error.is_timeout() {
            self.metrics.timed_out.increment(1);
        }
        tracing::debug!(%error, "a connection failed");
    }
}

/// Either protocol's.
trait Connection: Future<Output = hyper::Result<()>> {
    /// Takes no further request, and ends when those under way are answered.
    fn finish(self: Pin<&mut Self>);
}

type Io = TokioIo<Stalling<TcpStream>>;
type Routes = TowerToHyperService<Router>;

impl Connection for http1::Connection<Io, Routes> {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl Connection for http2::Connection<Io, Watched<Routes>, TokioExecutor> {
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}
