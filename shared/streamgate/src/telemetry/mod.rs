//! What each part of a process reports: `metrics`, `readiness`, `spans` and `times`. The crate `service` exports them.

mod metrics;
mod readiness;
mod spans;
mod times;

pub use metrics::{Declare, declare_counter, declare_gauge};
pub use readiness::{Joined, Latch, LatchView, Readiness};
pub use spans::{Span, SpanKind, Tracer};
pub(crate) use times::Times;
