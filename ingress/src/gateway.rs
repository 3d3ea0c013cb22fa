//! The state that the handlers share.

use std::time::Duration;

use service::http::body::BodyLimits;
use service::liveness::Liveness;
use streamgate::connection::Redis;
use streamgate::requester::Requester;
use streamgate::telemetry::Readiness;

/// The engine behind the routes, and the limits of one request.
pub struct Gateway {
    /// Sends requests and waits for their replies.
    pub requester: Requester,
    /// The connection to Redis.
    pub redis: Redis,
    /// Tells whether the runtime still runs its tasks.
    pub liveness: Liveness,
    /// Tells which parts are not ready for traffic.
    pub readiness: Readiness,
    /// The limits of a request body.
    pub body: BodyLimits,
    /// How long a caller waits for the reply.
    pub timeout: Duration,
}
