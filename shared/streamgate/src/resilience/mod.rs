//! Small parts for staying upright while a dependency does not: each is one idea, none knows
//! Redis or HTTP.

mod backoff;
mod circuit_breaker;
mod concurrency_limit;
mod usual_time;
mod wait_estimate;

pub use backoff::Backoff;
pub use circuit_breaker::{BreakerSettings, BreakerState, CircuitBreaker, CircuitOpen, Pass};
pub use concurrency_limit::{ConcurrencyLimit, Slot};
pub use usual_time::UsualTime;
pub use wait_estimate::WaitEstimate;
