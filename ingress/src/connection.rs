//! One connection: what it holds while it is served, and what the server's sweep sees of it.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use metrics::Gauge;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// A connection that was accepted.
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// Shared with the sweep.
    pub activity: Arc<Activity>,
    /// How HTTP is spoken.
    pub http: Arc<auto::Builder<TokioExecutor>>,
    /// Asks it to end after the requests under way. A token of its own: connections that share
    /// one contend for its lock at every wake-up.
    pub stop: CancellationToken,
    /// Counts it while it is open.
    pub open: Gauge,
    /// Its place among the connections that may be open; released when this is dropped.
    pub permit: OwnedSemaphorePermit,
}

impl Connection {
    /// Answers its requests with `handler` until either side ends it.
    pub async fn serve<H, F, B>(self, handler: H)
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<B>> + Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Self { stream, activity, http, stop, open, permit: _permit } = self;
        let _open = Open::new(open);
        let service = service_fn(move |request| {
            let under_way = UnderWay::new(&activity);
            let answer = handler(request);
            async move {
                let _under_way = under_way;
                Ok::<_, Infallible>(answer.await)
            }
        });
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error, "a connection failed");
        }
    }
}

/// What a connection is doing, as its sweep sees it. Times are counted in sweeps: reading that
/// clock costs a request nothing.
#[derive(Debug)]
pub struct Activity {
    /// Requests under way.
    under_way: AtomicU32,
    /// The sweep since which none is.
    idle_since: AtomicU64,
    /// Whether a request ever came.
    served: AtomicBool,
    clock: Arc<AtomicU64>,
}

impl Activity {
    /// A connection that was just accepted, at the sweep that `clock` shows.
    pub fn new(clock: Arc<AtomicU64>) -> Self {
        Self {
            under_way: AtomicU32::new(0),
            idle_since: AtomicU64::new(clock.load(Ordering::Relaxed)),
            served: AtomicBool::new(false),
            clock,
        }
    }

    /// For how many sweeps no request has been under way; `None` while one is.
    pub fn idle_sweeps(&self) -> Option<u32> {
        if self.under_way.load(Ordering::Acquire) > 0 {
            return None;
        }
        let sweeps = self.clock.load(Ordering::Relaxed) - self.idle_since.load(Ordering::Relaxed);
        Some(u32::try_from(sweeps).unwrap_or(u32::MAX))
    }

    /// True once a request came.
    pub fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }
}

/// A request under way on a connection.
struct UnderWay(Arc<Activity>);

impl UnderWay {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.served.store(true, Ordering::Relaxed);
        activity.under_way.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.idle_since.store(self.0.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.under_way.fetch_sub(1, Ordering::Release);
    }
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
