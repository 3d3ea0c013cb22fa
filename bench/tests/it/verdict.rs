//! The exit code tells whether the bounds of a trial hold.

use std::fs;
use std::process::{Command, Output};

const MARKERS: &str = "before\n<!-- wrk: begin -->\nold\n<!-- wrk: end -->\nafter\n";

/// `bench report` on results of a trial in which wrk reported this p99.
fn report(p99: f64) -> (Output, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let document = folder.path().join("PERFORMANCE.md");
    fs::write(&document, MARKERS).expect("a document");
    let seen = format!(r#"{{"loadtest":[[100.0,40.0,60.0]],"wrk":[[100.0,40.0,{p99}]]}}"#);
    fs::write(folder.path().join("load-generator.json"), seen).expect("results");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    bench.arg("report").arg("--results").arg(folder.path()).arg("--docs").arg(folder.path());
    let output = bench.output().expect("it runs");
    (output, fs::read_to_string(&document).expect("the document"))
}

#[test]
fn a_trial_within_its_bounds_exits_with_0_and_is_written() {
    let (output, document) = report(60.0);

    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(document.contains("| p99 in ms | 60.0 | 60.0 | +0.0% |\n<!-- wrk: end -->\nafter"), "{document}");
}

#[test]
fn a_missed_bound_is_named_written_and_exits_with_1() {
    let (output, document) = report(120.0);

    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("missed: p99 in ms: loadtest and wrk differ by -50.0%"), "{said}");
    assert!(document.contains("| p99 in ms | 60.0 | 120.0 | -50.0% |"), "{document}");
}
