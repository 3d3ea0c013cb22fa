//! Metrics about the process: CPU time, memory, file descriptors, threads, its version, and how many
//! log lines it lost.

use std::sync::Arc;

use metrics::{Recorder, counter, describe_counter, describe_gauge, gauge, with_local_recorder};
use metrics_process::Collector;

use crate::logs;

/// The `process_` metrics that Prometheus defines. They are read from the system when [`refresh`] is
/// called.
///
/// [`refresh`]: ProcessMetrics::refresh
pub struct ProcessMetrics {
    collector: Collector,
    recorder: Arc<dyn Recorder + Send + Sync>,
}

const BUILD: &str = "streamgate_build_info";
const DROPPED_LINES: &str = "streamgate_log_lines_dropped_total";

impl ProcessMetrics {
    /// Declares the metrics on `recorder`, with the name and the version of the program.
    pub fn declare(
        recorder: Arc<dyn Recorder + Send + Sync>,
        program: &'static str,
        version: &'static str,
    ) -> Self {
        let collector = Collector::default();
        with_local_recorder(&recorder, || {
            collector.describe();
            describe_gauge!(BUILD, "Always 1; the labels name the program and its version");
            gauge!(BUILD, "program" => program, "version" => version).set(1.0);
            describe_counter!(
                DROPPED_LINES,
                "Log lines lost because the log was not read, or not fast enough"
            );
            counter!(DROPPED_LINES).absolute(logs::dropped_lines());
        });
        Self { collector, recorder }
    }

    /// Updates the metrics. This costs a few reads of `/proc`, and one per open file descriptor.
    pub fn refresh(&self) {
        with_local_recorder(&self.recorder, || {
            self.collector.collect();
            counter!(DROPPED_LINES).absolute(logs::dropped_lines());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::MetricsRecorder;

    #[test]
    fn the_metrics_show_the_process_and_its_version() {
        let recorder = MetricsRecorder::default();
        let scrapes = recorder.handle();
        let process = ProcessMetrics::declare(Arc::new(recorder), "ingress", "1.2.3");

        process.refresh();

        let scrape = scrapes.render();
        assert!(scrape.contains(r#"streamgate_build_info{program="ingress",version="1.2.3"} 1"#), "{scrape}");
        let value = |name: &str| -> f64 {
            let line = scrape.lines().find(|line| line.starts_with(&format!("{name} ")));
            let text = line.and_then(|line| line.split(' ').nth(1));
            text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no {name} in {scrape}"))
        };
        assert!(value("process_resident_memory_bytes") > 100_000.0, "{scrape}");
        assert!(value("process_start_time_seconds") > 1e9, "{scrape}");
        assert!(value("process_threads") >= 1.0, "{scrape}");
        assert!((1.0..=value("process_max_fds")).contains(&value("process_open_fds")), "{scrape}");
        let cpu = value("process_cpu_seconds_total");

        // Loops until the CPU time grows; the system counts it in ticks, usually of 10 ms.
        while {
            process.refresh();
            let scrape = scrapes.render();
            scrape.contains(&format!("process_cpu_seconds_total {cpu}\n"))
        } {}
    }
}
