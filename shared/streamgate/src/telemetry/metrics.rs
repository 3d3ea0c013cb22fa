//! Declares metrics: name, help, unit and labels in one place. Each declaration returns a handle.
//!
//! Each part of a process keeps the handles of its metrics in a struct, so that the hot path never
//! looks a metric up by its name. A handle belongs to the recorder that is current when the metric is declared
//! (`metrics::with_local_recorder`, else the global one).

use metrics::{
    Counter, Gauge, Histogram, Label, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

/// Declares metrics that share labels.
#[derive(Debug, Clone, Default)]
pub struct Declare {
    labels: Vec<Label>,
}

impl Declare {
    /// Declares metrics with these labels.
    pub fn labelled(labels: &[(&'static str, &str)]) -> Self {
        Self { labels: labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect() }
    }

    /// A counter.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        describe_counter!(name, help);
        counter!(name, self.labels.iter())
    }

    /// A counter with one more label, `label`, whose value is `value`.
    pub fn counter_of(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        value: &'static str,
    ) -> Counter {
        describe_counter!(name, help);
        let mut labels = self.labels.clone();
        labels.push(Label::from_static_parts(label, value));
        counter!(name, labels)
    }

    /// A gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        describe_gauge!(name, help);
        gauge!(name, self.labels.iter())
    }

    /// A histogram of seconds.
    pub fn seconds(&self, name: &'static str, help: &'static str) -> Histogram {
        describe_histogram!(name, Unit::Seconds, help);
        histogram!(name, self.labels.iter())
    }
}

/// Declares a counter without labels.
pub fn declare_counter(name: &'static str, help: &'static str) -> Counter {
    Declare::default().counter(name, help)
}

/// Declares a gauge without labels.
pub fn declare_gauge(name: &'static str, help: &'static str) -> Gauge {
    Declare::default().gauge(name, help)
}
