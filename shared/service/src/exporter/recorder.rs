//! The recorder of all metrics, and the text that a scrape gets.
//!
//! Counters and gauges come from `metrics-exporter-prometheus`. Its histograms store every value until
//! the next scrape sorts the values into buckets. That costs megabytes of memory traffic, and 3 % of
//! the instructions of ingress per request (five values). So histograms come from the `prometheus`
//! crate, which counts a value in its bucket at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use prometheus::{HistogramOpts, Registry, TextEncoder};

/// Upper bounds of every histogram, in seconds: 100 µs to 30 s, three per factor of ten.
pub const SECONDS_BUCKETS: [f64; 17] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// Records metrics; [`MetricsRecorder::handle`] renders them.
///
/// Every histogram has [`SECONDS_BUCKETS`]. Histograms with the same name must have the same label
/// names. Names and labels must be valid in Prometheus: letters, digits, `_`, and `:` in names. A
/// histogram that breaks these rules stays empty, and the log says so.
pub struct MetricsRecorder {
    exporter: PrometheusRecorder,
    histograms: Arc<Histograms>,
}

/// Renders the metrics of one recorder in the Prometheus text format.
#[derive(Clone)]
pub struct Scrapes {
    exporter: PrometheusHandle,
    histograms: Arc<Histograms>,
}

/// The help of a histogram without a description: Prometheus allows no empty help.
const UNDESCRIBED: &str = "In seconds";

#[derive(Default)]
struct Histograms {
    registry: Registry,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    helps: HashMap<KeyName, String>,
    handles: HashMap<Key, prometheus::Histogram>,
}

impl Default for MetricsRecorder {
    fn default() -> Self {
        Self { exporter: PrometheusBuilder::new().build_recorder(), histograms: Arc::default() }
    }
}

impl MetricsRecorder {
    /// The handle that renders the metrics of this recorder.
    pub fn handle(&self) -> Scrapes {
        Scrapes { exporter: self.exporter.handle(), histograms: Arc::clone(&self.histograms) }
    }
}

impl Scrapes {
    /// Everything recorded so far.
    pub fn render(&self) -> String {
        let mut text = self.exporter.render();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.histograms.registry.gather(), &mut text) {
            tracing::error!(%error, "histograms cannot be rendered");
        }
        text
    }
}

impl fmt::Debug for Scrapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrapes").finish_non_exhaustive()
    }
}

impl Histograms {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The histogram with this name and these labels; the first call creates it.
    fn get(&self, key: &Key) -> Result<prometheus::Histogram, prometheus::Error> {
        let mut known = self.known();
        if let Some(histogram) = known.handles.get(key) {
            return Ok(histogram.clone());
        }
        let name = KeyName::from(key.name().to_owned());
        let help = known.helps.entry(name).or_insert_with(|| UNDESCRIBED.to_owned()).clone();
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let options = HistogramOpts::new(key.name(), help).const_labels(labels);
        let histogram = prometheus::Histogram::with_opts(options.buckets(SECONDS_BUCKETS.to_vec()))?;
        self.registry.register(Box::new(histogram.clone()))?;
        known.handles.insert(key.clone(), histogram.clone());
        Ok(histogram)
    }
}

struct Observed(prometheus::Histogram);

impl HistogramFn for Observed {
    fn record(&self, value: f64) {
        self.0.observe(value);
    }
}

impl Recorder for MetricsRecorder {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporter.describe_counter(name, unit, help);
    }

    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, help: SharedString) {
        self.exporter.describe_gauge(name, unit, help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        // The first help stays: all histograms with one name must have the same.
        if !help.is_empty() {
            self.histograms.known().helps.entry(name).or_insert(help.into_owned());
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.exporter.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.exporter.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.histograms.get(key) {
            Ok(histogram) => Histogram::from_arc(Arc::new(Observed(histogram))),
            Err(error) => {
                tracing::error!(%key, %error, "this histogram cannot be rendered and stays empty");
                Histogram::noop()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use metrics::{counter, describe_histogram, gauge, histogram, with_local_recorder};

    use super::*;

    #[test]
    fn a_histogram_is_rendered_with_help_labels_and_buckets() {
        let recorder = MetricsRecorder::default();
        let record = |route: &'static str, milliseconds| {
            let histogram = histogram!("answer_seconds", "route" => route);
            histogram.record(Duration::from_millis(milliseconds));
        };

        with_local_recorder(&recorder, || {
            counter!("answers_total").increment(3);
            gauge!("waiting").set(1.5);
            describe_histogram!("answer_seconds", Unit::Seconds, "How long it took");
            record("/a", 3);
            record("/a", 4);
            record("/b", 60_000);
        });

        let scrape = recorder.handle().render();
        assert!(scrape.ends_with('\n'), "{scrape}");
        for line in [
            "answers_total 3",
            "waiting 1.5",
            "# HELP answer_seconds How long it took",
            "# TYPE answer_seconds histogram",
            r#"answer_seconds_bucket{route="/a",le="0.0025"} 0"#,
            r#"answer_seconds_bucket{route="/a",le="0.005"} 2"#,
            r#"answer_seconds_bucket{route="/a",le="+Inf"} 2"#,
            r#"answer_seconds_sum{route="/a"} 0.007"#,
            r#"answer_seconds_count{route="/a"} 2"#,
            r#"answer_seconds_bucket{route="/b",le="30"} 0"#,
            r#"answer_seconds_count{route="/b"} 1"#,
        ] {
            assert_eq!(scrape.lines().filter(|it| *it == line).count(), 1, "{line} in\n{scrape}");
        }
    }

    #[test]
    fn a_histogram_keeps_its_first_description() {
        let recorder = MetricsRecorder::default();

        with_local_recorder(&recorder, || {
            histogram!("early_seconds", "n" => "1").record(1.0);
            for help in ["", "first", "second"] {
                describe_histogram!("early_seconds", help);
                describe_histogram!("late_seconds", help);
                histogram!("late_seconds", "help" => help).record(1.0);
            }
            histogram!("early_seconds", "n" => "2").record(1.0);
        });

        let scrape = recorder.handle().render();
        let count =
            |name: &str| scrape.lines().filter(|line| line.starts_with(&format!("{name}_count"))).count();
        assert_eq!((count("early_seconds"), count("late_seconds")), (2, 3), "{scrape}");
        assert!(scrape.contains("# HELP early_seconds In seconds"), "{scrape}");
    }

    #[test]
    fn a_histogram_that_cannot_be_rendered_harms_no_other() {
        let recorder = MetricsRecorder::default();

        with_local_recorder(&recorder, || {
            histogram!("no name").record(1.0);
            histogram!("fine_seconds").record(1.0);
        });

        let scrape = recorder.handle().render();
        assert!(scrape.contains("fine_seconds_count 1") && !scrape.contains("no name"), "{scrape}");
    }
}
