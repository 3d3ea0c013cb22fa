//! The state that the handlers share.

use std::sync::Arc;

use service::liveness::Liveness;
use streamgate::connection::Redis;
use streamgate::telemetry::Readiness;

use crate::serving::Serving;

/// The engine behind the routes.
pub struct Gateway {
    /// The routes in force, and the requester that sends their requests.
    pub serving: Arc<Serving>,
    /// The connection to Redis.
    pub redis: Redis,
    /// Tells whether the runtime still runs its tasks.
    pub liveness: Liveness,
    /// Tells which parts are not ready for traffic.
    pub readiness: Readiness,
}
