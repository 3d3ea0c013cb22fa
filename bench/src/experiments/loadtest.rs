//! Our own load generator, and what it reports.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::process::Child;

use crate::lab::Lab;

/// What loadtest reports, as far as trials look at it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) requests: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) throughput_per_second: f64,
    pub(super) goodput: Option<Goodput>,
    pub(super) latency_ms: Option<Latency>,
    pub(super) failures: Vec<Failure>,
    pub(super) last_failure_seconds: Option<f64>,
    pub(super) pace: Option<Pace>,
}

/// Right answers within the deadline.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Goodput {
    pub(super) in_time: u64,
    pub(super) per_second: f64,
}

/// Of one outcome, in milliseconds.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

/// One kind of failure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failure {
    pub(super) kind: String,
    pub(super) count: u64,
    pub(super) latency_ms: Latency,
}

/// How well an open loop kept its schedule.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Pace {
    pub(super) kept: bool,
    pub(super) start_delay_ms: Latency,
}

impl Report {
    /// How many failures were of one of these kinds.
    pub(super) fn count(&self, kinds: &[&str]) -> u64 {
        let these = self.failures.iter().filter(|failure| kinds.contains(&failure.kind.as_str()));
        these.map(|failure| failure.count).sum()
    }

    /// How many of which kind, in words.
    pub(super) fn failures_in_words(&self) -> String {
        let all = self.failures.iter().map(|failure| format!("{} {}", failure.count, failure.kind));
        let all: Vec<String> = all.collect();
        if all.is_empty() { "no failures".to_owned() } else { all.join(", ") }
    }
}

/// A load that has begun. It ends when this is dropped.
pub(super) struct Load(Child);

impl Load {
    /// Starts loadtest against `address`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(lab: &Lab, address: SocketAddr, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut command = lab.command(lab.binary("loadtest"));
        command.args(["--url", &format!("http://{address}"), "--output", "json", "--max-error-rate", "1"]);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Self(command.kill_on_drop(true).spawn().context("loadtest cannot be started")?))
    }

    /// What it has seen, when it is over.
    ///
    /// # Errors
    /// It failed.
    pub(super) async fn report(self) -> anyhow::Result<Report> {
        let output = self.0.wait_with_output().await?;
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        anyhow::ensure!(output.status.success(), "loadtest ended with {}: {}", output.status, said());
        serde_json::from_slice(&output.stdout).with_context(|| format!("loadtest said: {}", said()))
    }
}
