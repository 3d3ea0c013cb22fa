//! What a process says about itself: logs, metrics and readiness.

mod logs;
pub mod metrics;
mod process;
mod readiness;

pub use logs::{LogFilter, LogFormat, init_logs};
pub use process::ProcessMetrics;
pub use readiness::{Latch, Readiness};
