//! What the HTTP side needs from the engine behind it: the seam between the two.

use std::future::Future;
use std::time::Duration;

use streamgate::connection::Redis;
use streamgate::request_reply::{Answer, Call, RequestError, Requester};

/// Where requests go and replies come from.
pub trait Upstream: Clone + Send + Sync + 'static {
    /// Sends one request and waits for its reply.
    fn request(&self, call: Call) -> impl Future<Output = Result<Answer, RequestError>> + Send;

    /// How it is.
    fn vitals(&self) -> Vitals;
}

/// How an [`Upstream`] is at this moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vitals {
    /// Round trip to Redis, if it answered the last heartbeat.
    pub round_trip: Option<Duration>,
    /// The state of the circuit breaker.
    pub circuit: &'static str,
    /// Callers that wait for a reply.
    pub pending: usize,
}

/// The engine: a [`Requester`] on a [`Redis`].
#[derive(Clone)]
pub struct Engine {
    /// Sends requests.
    pub requester: Requester,
    /// What it sends them through.
    pub redis: Redis,
}

impl Upstream for Engine {
    fn request(&self, call: Call) -> impl Future<Output = Result<Answer, RequestError>> + Send {
        self.requester.request(call)
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            round_trip: self.redis.round_trip(),
            circuit: self.redis.circuit().state().as_str(),
            pending: self.requester.pending(),
        }
    }
}
