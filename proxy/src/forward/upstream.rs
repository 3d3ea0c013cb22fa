use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use routes::Upstream;
use streamgate::resilience::ConcurrencyLimit;
use streamgate::telemetry::Tracer;
use tokio::sync::Semaphore;
use tower::retry::budget::TpsBudget;

use super::breaker::Breaker;
use super::metrics::ForwardMetrics;
use super::resolver::Resolver;

/// What all requests to one upstream share. A reload makes a new one if the file says something else of the upstream;
/// requests under way go on with theirs.
pub struct UpstreamState {
    /// What the file says.
    pub config: Arc<Upstream>,
    /// Pauses the taking of entries.
    pub breaker: Arc<Breaker>,
    /// The requests that this process holds for the upstream. Its queues take no entry while none is free.
    pub held: ConcurrencyLimit,
    /// Counts.
    pub metrics: ForwardMetrics,
    /// Requests sent at once: a queue may take an entry more than `held` has slots.
    pub(super) sending: Semaphore,
    /// Limits retries to a fraction of the requests, so that an outage does not multiply the load.
    pub(super) budget: TpsBudget,
    pub(super) client: Client,
    pub(super) resolver: Resolver,
    pub(super) tracer: Tracer,
}

/// The client of an upstream could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the upstream {name} cannot be used; for https, CA certificates must be installed")]
pub struct SetupError {
    name: String,
    #[source]
    cause: reqwest::Error,
}

impl UpstreamState {
    /// An upstream that was not asked yet. Sends no request.
    ///
    /// # Errors
    /// The URL is https, and the system's CA certificates cannot be read.
    pub fn new(config: Arc<Upstream>, metrics: ForwardMetrics, tracer: Tracer) -> Result<Self, SetupError> {
        let resolver = Resolver::default();
        let setup_error = |cause| SetupError { name: config.name.clone(), cause };
        Ok(Self {
            client: client(&config, resolver.clone()).map_err(setup_error)?,
            breaker: Breaker::new(config.breaker),
            held: ConcurrencyLimit::new(config.concurrency),
            sending: Semaphore::new(config.concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            // In ten seconds: one retry for every five requests and ten retries more.
            budget: TpsBudget::new(Duration::from_secs(10), 1, 0.2),
            config,
            metrics,
            resolver,
            tracer,
        })
    }

    /// Sets the gauges. Call it at each scrape: an open breaker becomes half open with time.
    pub fn record(&self) {
        self.metrics.circuit_state.set(self.breaker.state().gauge());
        self.metrics.in_flight.set(self.held.taken() as f64);
    }

    /// True if doing the work twice does no harm.
    pub(super) fn is_repeatable(&self) -> bool {
        self.config.idempotent || self.config.honours_idempotency_key
    }
}

impl fmt::Debug for UpstreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamState").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How long a connection may be idle: shorter than what servers allow, often 5 s, because a request that crosses the
/// end of its connection is one without an answer.
const IDLE: Duration = Duration::from_secs(4);

/// A client that sends each request once, as it is: it follows no redirect, repeats nothing, decompresses nothing and
/// uses no proxy of the environment. It speaks HTTP/1.1: a connection carries one request at a time, so what is known
/// of a failed connection is known of its request.
fn client(upstream: &Upstream, resolver: Resolver) -> Result<Client, reqwest::Error> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder()
        .http1_only()
        .no_gzip()
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .dns_resolver(resolver)
        .connect_timeout(upstream.connect)
        .pool_max_idle_per_host(upstream.concurrency)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true);
    match upstream.url.scheme() {
        // Plain http needs no TLS, so the system needs no CA certificates.
        "http" => builder.tls_certs_only([]).build(),
        _ => builder.build(),
    }
}
