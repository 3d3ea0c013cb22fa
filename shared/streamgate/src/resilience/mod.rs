//! Small parts that keep a process working while a dependency fails. Each is one idea; none knows Redis or HTTP.
//!
//! In reading order: `backoff`, `retry_budget` and `circuit_breaker` limit calls to a failing dependency;
//! `concurrency_limit` bounds the work in progress; `usual_time` and `wait_estimate` predict how long a request waits.

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
