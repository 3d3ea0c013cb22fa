//! An upstream: an HTTP service that proxy forwards requests to.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

/// An HTTP service that knows nothing of the gateway. Its secrets are not in its `Debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The name that routes use, 1 to 64 characters of `A-Z a-z 0-9 . _ -`; a label of metrics.
    pub name: String,
    /// Scheme `http` or `https`, host, port, and a path that is put before the path of a request. It has no
    /// credentials, no query and no fragment.
    pub url: Url,
    /// Requests sent at once by one proxy.
    pub concurrency: usize,
    /// Longest time until a connection is established, TLS included.
    pub connect: Duration,
    /// Longest time for one attempt, from its first byte to the last byte of the answer.
    pub timeout: Duration,
    /// Doing the work twice does no harm, so a request whose answer was lost is sent again.
    pub idempotent: bool,
    /// The upstream does the work once per `Idempotency-Key`, so a request whose answer was lost is sent again.
    pub honours_idempotency_key: bool,
    /// What happens to header fields.
    pub headers: HeaderPolicy,
    /// When proxy stops asking the upstream.
    pub breaker: Breaker,
    /// The largest answer, in bytes: a larger one is a 502.
    pub reply_body_limit: usize,
}

/// The header fields that an upstream gets, beside those that proxy makes and `content-type`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderPolicy {
    /// Passed on from the caller, in lower case, sorted.
    pub pass: Vec<HeaderName>,
    /// Set by proxy, over what the caller sent. The values are marked as sensitive, so their `Debug` hides them.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

/// When proxy stops asking an upstream, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Opens when this share of the last [`of`](Self::of) requests failed, in percent, 1 to 100.
    pub failures: u8,
    /// The number of requests that are judged.
    pub of: u32,
    /// How long it stays open before one request tries again.
    pub open: Duration,
}
