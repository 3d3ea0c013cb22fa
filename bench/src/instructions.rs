//! Counts the instructions of each step of the hot path, with Valgrind's callgrind.
//!
//! Each step runs 1,000 and 3,000 times; the difference, divided by 2,000, is one of it, without the start of
//! the process. The counts are the same on every run of a binary, whatever else the machine does.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use crate::document;
use crate::markdown::{grouped, head, row};
use crate::options::Places;

/// The steps of `benches/hot_path.rs`, and what each is.
const STEPS: [(&str, &str); 7] = [
    ("encode_request", "a request: XADD, packed"),
    ("decode_requests", "32 requests: RESP, entry, envelope"),
    ("encode_replies", "32 replies of 600 bytes: one XADD, packed"),
    ("decode_replies", "32 replies of 600 bytes: RESP, one entry, envelopes"),
    ("wait_and_complete", "a caller's place, its reply, its deadline swept"),
    ("validate", "a body of the weather example: read, checked"),
    ("mint_id", "a correlation id and its text"),
];
const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

/// Counts, and writes the table into PERFORMANCE.md.
///
/// # Errors
/// There is no valgrind, the benchmark cannot be built, or it fails.
pub fn write(places: &Places) -> anyhow::Result<()> {
    let binary = build()?;
    let mut table = head(&["step", "instructions"], 1);
    for (step, what) in STEPS {
        let difference = count(&binary, step, MANY)?.saturating_sub(count(&binary, step, FEW)?);
        let one = difference as f64 / (MANY - FEW) as f64;
        println!("{step:20} {:>10}", grouped(one));
        row(&mut table, [what.to_owned(), grouped(one)]);
    }
    document::put(&places.docs.join("PERFORMANCE.md"), &[("instructions".to_owned(), table)])
}

/// The benchmark's binary, as cargo names it.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(["bench", "--locked", "-p", "bench", "--bench", "hot_path", "--no-run"]);
    command.args(["--message-format", "json"]).stderr(Stdio::inherit());
    let output = command.output().context("cargo cannot be started")?;
    anyhow::ensure!(output.status.success(), "cargo bench ended with {}", output.status);
    executable(&String::from_utf8_lossy(&output.stdout)).context("cargo names no benchmark hot_path")
}

fn executable(messages: &str) -> Option<PathBuf> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = messages.filter(|message| message["target"]["name"] == "hot_path");
    ours.filter_map(|message| message["executable"].as_str().map(PathBuf::from)).next_back()
}

/// Instructions of a process that runs one step so often.
fn count(binary: &Path, step: &str, times: u64) -> anyhow::Result<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(binary);
    valgrind.args(["--count", step, &times.to_string()]);
    let output = valgrind.output().context("valgrind cannot be started; Debian: apt install valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    collected(&said)
        .filter(|_| output.status.success())
        .with_context(|| format!("callgrind failed on {step}:\n{said}"))
}

/// From a line such as `==42== Collected : 1234`.
fn collected(said: &str) -> Option<u64> {
    said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_callgrind_is_found() {
        assert_eq!(collected("==42== Events    : Ir\n==42== Collected : 1234\n"), Some(1234));
        assert_eq!(collected("==42== killed\n"), None);
    }

    #[test]
    fn the_last_benchmark_that_cargo_names_is_run() {
        let messages = "{\"target\":{\"name\":\"bench\"},\"executable\":\"/b\"}\nnoise\n\
                        {\"target\":{\"name\":\"hot_path\"},\"executable\":\"/h\"}\n\
                        {\"target\":{\"name\":\"hot_path\"},\"executable\":null}\n";

        assert_eq!(executable(messages), Some(PathBuf::from("/h")));
    }
}
