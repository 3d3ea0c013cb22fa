//! Small parts that keep a process working while a dependency fails. Each is one idea; none knows Redis or HTTP.
//!
//! In reading order: `backoff` and `circuit_breaker` limit calls to a failing dependency; `retry_policy` says when
//! failed work is tried again;
//! `concurrency_limit` bounds the work in progress; `usual_time` and `wait_estimate` predict how long a request waits.

mod backoff;
mod circuit_breaker;
mod concurrency_limit;
mod retry_policy;
mod usual_time;
mod wait_estimate;

pub use backoff::Backoff;
pub use circuit_breaker::{BreakerSettings, BreakerState, CircuitBreaker, CircuitOpen, Pass};
pub use concurrency_limit::{ConcurrencyLimit, Slot};
pub use retry_policy::RetryPolicy;
pub use usual_time::UsualTime;
pub use wait_estimate::WaitEstimate;
