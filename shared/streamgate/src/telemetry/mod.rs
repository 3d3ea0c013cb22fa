//! What a process says about itself: logs, metrics, spans and readiness.

mod liveness;
mod log_queue;
mod logs;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod process;
mod readiness;
mod recorder;
mod spans;

pub use liveness::Liveness;
pub(crate) use logs::flush_logs;
pub use logs::{LastLines, LogFilter, LogFormat, init_logs, print_error};
pub use metrics::{Declare, declare_counter, declare_gauge};
#[cfg(feature = "otlp")]
pub use otlp::{OtlpSettings, Sampling, SpanExport};
pub use process::ProcessMetrics;
pub use readiness::{Latch, LatchView, Readiness};
pub use recorder::{MetricsRecorder, SECONDS_BUCKETS, Scrapes};
pub use spans::{Span, SpanKind, Tracer};
