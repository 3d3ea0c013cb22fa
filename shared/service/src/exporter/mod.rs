//! Metrics in the Prometheus text format.

mod process_metrics;
mod recorder;

pub use process_metrics::ProcessMetrics;
pub use recorder::{MetricsRecorder, SECONDS_BUCKETS, Scrapes};
