//! Metrics of one part of a test, apart from all others.

use metrics_exporter_prometheus::PrometheusRecorder;
use streamgate::telemetry::metrics::prometheus_recorder;

/// What was counted by metrics that were declared on it.
pub(crate) struct Counts(PrometheusRecorder);

impl Default for Counts {
    fn default() -> Self {
        Self(prometheus_recorder().expect("valid buckets"))
    }
}

impl Counts {
    pub(crate) fn declare<M>(&self, declare: impl FnOnce() -> M) -> M {
        metrics::with_local_recorder(&self.0, declare)
    }

    /// The value of a metric without labels.
    pub(crate) fn of(&self, name: &str) -> f64 {
        let text = self.0.handle().render();
        let line = text.lines().find(|line| line.split(' ').next() == Some(name)).expect("declared");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
}
