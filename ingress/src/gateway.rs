//! The state that the handlers share.

use service::liveness::Liveness;
use streamgate::connection::Redis;
use streamgate::requester::{Destination, Requester};
use streamgate::telemetry::Readiness;

/// The engine behind the routes.
pub struct Gateway {
    /// Sends requests and waits for their replies.
    pub requester: Requester,
    /// The stream for forecasts.
    pub weather: Destination,
    /// The connection to Redis.
    pub redis: Redis,
    /// Tells whether the runtime still runs its tasks.
    pub liveness: Liveness,
    /// Tells which parts are not ready for traffic.
    pub readiness: Readiness,
}
