//! What a process says about itself: logs, metrics and readiness.

mod logs;
pub mod metrics;
mod readiness;

pub use logs::{LogFilter, LogFormat, init_logs};
pub use readiness::{Latch, Readiness};
