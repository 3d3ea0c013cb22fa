//! The metrics of one part of a test, separate from all others.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

/// The values of the metrics that are declared on it.
pub(crate) struct Counts(PrometheusRecorder);

impl Default for Counts {
    fn default() -> Self {
        Self(PrometheusBuilder::new().build_recorder())
    }
}

impl Counts {
    pub(crate) fn declare<M>(&self, declare: impl FnOnce() -> M) -> M {
        metrics::with_local_recorder(&self.0, declare)
    }

    /// All metrics in the Prometheus text format.
    pub(crate) fn scrape(&self) -> String {
        self.0.handle().render()
    }

    /// The value of the only metric with this name, with any labels.
    pub(crate) fn of(&self, name: &str) -> f64 {
        let text = self.scrape();
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name)).expect("declared");
        line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
    }
}
