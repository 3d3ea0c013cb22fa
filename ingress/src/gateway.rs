//! What the handlers share.

use std::time::Duration;

use service::liveness::Liveness;
use streamgate::connection::Redis;
use streamgate::requester::Requester;
use streamgate::telemetry::Readiness;

use crate::body::BodyLimits;

/// The engine behind the routes, and the limits of one request.
pub struct Gateway {
    /// Sends requests and waits for their replies.
    pub requester: Requester,
    /// What it sends them through.
    pub redis: Redis,
    /// Whether the runtime still runs its tasks.
    pub liveness: Liveness,
    /// The parts that must work before traffic should come.
    pub readiness: Readiness,
    /// What the body of a request may cost.
    pub body: BodyLimits,
    /// How long a caller waits for the reply.
    pub timeout: Duration,
}
