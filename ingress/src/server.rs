//! Serving HTTP/1.1 and HTTP/2 on one listener: how many connections, for how long, and how
//! they end.
//!
//! One sweep a moment looks after the time limits of all connections, instead of a timer for
//! each request: hyper's own `header_read_timeout` allocates and registers one per request, also
//! counts while a connection idles, and does not run before the first byte.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use streamgate::resilience::Backoff;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::connection::{Activity, Connection};
use crate::metrics::ConnectionMetrics;

/// What connections may cost.
#[derive(Debug, Clone, Copy)]
pub struct ServerLimits {
    /// How many are served at once; more wait in the system's accept queue.
    pub connections: usize,
    /// How long one may take to send its first request.
    pub first_request: Duration,
    /// How long one may idle between two requests.
    pub idle: Duration,
    /// How long requests may take to finish once the server stops.
    pub drain: Duration,
}

/// HTTP/2: how many requests one connection may have under way (RFC 9113 recommends no fewer
/// than 100).
const CONCURRENT_STREAMS: u32 = 256;
/// HTTP/2: streams reset before they were accepted, above which a connection is closed: the
/// answer to rapid reset, CVE-2023-44487.
const PENDING_RESETS: usize = 32;
/// HTTP/2: how often a quiet connection is asked whether it is still there, and for how long.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest head of a request, in bytes.
const HEAD_LIMIT: u32 = 32 << 10;
/// While draining, a connection without a request under way has this long to send its last bytes.
const DRAIN_IDLE: Duration = Duration::from_secs(1);

/// Serves `listener` until `stop` is cancelled; then closes it, lets the requests under way
/// finish for at most `limits.drain`, and cuts off what is left. Answers with how many
/// connections were cut off.
pub async fn serve<H, F, B>(
    listener: TcpListener,
    limits: ServerLimits,
    metrics: ConnectionMetrics,
    stop: CancellationToken,
    handler: H,
) -> usize
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = Connections::new(limits, metrics.clone());
    let mut accept = Accept::new(listener, metrics);
    let http = Arc::new(http());
    loop {
        let (permit, stream) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = connections.sweeps.tick() => { connections.sweep(); continue }
            accepted = accept.next(&permits) => accepted,
        };
        let activity = Arc::new(Activity::new(Arc::clone(&connections.clock)));
        let connection = Connection {
            stream,
            activity: Arc::clone(&activity),
            http: Arc::clone(&http),
            stop: stop.child_token(),
            open: connections.metrics.open.clone(),
            permit,
        };
        connections.add(activity, tokio::spawn(connection.serve(handler.clone())));
    }
    drop(accept);
    connections.drain().await
}

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    // The sweep below is the header timeout: see the module's documentation.
    http.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(HEAD_LIMIT as usize * 2);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(CONCURRENT_STREAMS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_header_list_size(HEAD_LIMIT)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// First and longest pause after the system refused to hand out a connection.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The accepting side of a listener. The sweeps interrupt it, so what it waits for is state.
struct Accept {
    listener: TcpListener,
    metrics: ConnectionMetrics,
    /// Draws the pauses within a burst of errors; reset by the first connection after it.
    backoff: Backoff,
    /// When to try again after an error.
    resume_at: Option<Instant>,
    /// As many connections are open as may be: counted once, when it begins.
    at_limit: bool,
}

impl Accept {
    fn new(listener: TcpListener, metrics: ConnectionMetrics) -> Self {
        let backoff = Backoff::new(ACCEPT_PAUSE.0, ACCEPT_PAUSE.1);
        Self { listener, metrics, backoff, resume_at: None, at_limit: false }
    }

    /// The next connection, as soon as there is room for it. Safe to drop and call again.
    async fn next(&mut self, permits: &Arc<Semaphore>) -> (OwnedSemaphorePermit, TcpStream) {
        loop {
            if let Some(time) = self.resume_at {
                tokio::time::sleep_until(time).await;
                self.resume_at = None;
            }
            let permit = self.room(permits).await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.backoff.reset();
                    self.metrics.accepted.increment(1);
                    // Answers are written whole: Nagle's algorithm would only delay them.
                    let _ = stream.set_nodelay(true);
                    return (permit, stream);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    async fn room(&mut self, permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if permits.available_permits() > 0 {
            self.at_limit = false;
        } else if !self.at_limit {
            self.at_limit = true;
            self.metrics.limit_reached.increment(1);
        }
        match Arc::clone(permits).acquire_owned().await {
            Ok(permit) => permit,
            // Nobody closes the semaphore.
            Err(_) => std::future::pending().await,
        }
    }

    /// Out of files or memory: accepting again at once would be a hot loop, and a line for each
    /// failure would fill a disk.
    fn failed(&mut self, error: &io::Error) {
        self.metrics.accept_errors.increment(1);
        if is_about_one_connection(error) {
            return;
        }
        if self.backoff.attempts() == 0 {
            tracing::warn!(%error, "connections cannot be accepted; trying again until they can");
        }
        self.resume_at = Some(Instant::now() + self.backoff.next_delay());
    }
}

/// Errors of a connection that was gone before it was accepted (accept(2), "Error handling").
fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// The open connections of a server and the clock they are measured by.
struct Connections {
    open: Vec<(AbortOnDropHandle<()>, Arc<Activity>)>,
    /// Sweeps so far: the connections' clock.
    clock: Arc<AtomicU64>,
    sweeps: tokio::time::Interval,
    /// Between two sweeps.
    period: Duration,
    limits: ServerLimits,
    metrics: ConnectionMetrics,
}

impl Connections {
    fn new(limits: ServerLimits, metrics: ConnectionMetrics) -> Self {
        let shortest = limits.first_request.min(limits.idle).min(DRAIN_IDLE);
        let period = (shortest / 4).clamp(Duration::from_millis(5), Duration::from_millis(250));
        let mut sweeps = interval(period);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { open: Vec::new(), clock: Arc::default(), sweeps, period, limits, metrics }
    }

    fn add(&mut self, activity: Arc<Activity>, task: tokio::task::JoinHandle<()>) {
        self.open.push((AbortOnDropHandle::new(task), activity));
    }

    fn sweep(&mut self) {
        let ServerLimits { first_request, idle, .. } = self.limits;
        self.retain(|served| if served { idle } else { first_request });
    }

    /// Forgets the connections that ended and cuts off those that idle longer than `allowed`.
    fn retain(&mut self, allowed: impl Fn(bool) -> Duration) {
        self.clock.fetch_add(1, Ordering::Relaxed);
        self.open.retain(|(task, activity)| {
            let expired = activity
                .idle_sweeps()
                .is_some_and(|sweeps| self.period * sweeps > allowed(activity.has_served()));
            if expired && !task.is_finished() {
                self.metrics.timed_out.increment(1);
            }
            !expired && !task.is_finished()
        });
    }

    /// Waits for the requests under way; answers with how many connections had to be cut off.
    async fn drain(mut self) -> usize {
        let end = Instant::now() + self.limits.drain;
        loop {
            self.retain(|_| DRAIN_IDLE);
            let Some((task, _)) = self.open.last_mut() else { return 0 };
            let next = async {
                tokio::select! {
                    _ = task => {}
                    _ = self.sweeps.tick() => {}
                }
            };
            if timeout_at(end, next).await.is_err() {
                self.open.retain(|(task, _)| !task.is_finished());
                return self.open.len();
            }
        }
    }
}

#[cfg(test)]
mod tests;
