//! Load from wrk, whose script prints what it has seen as one line of JSON.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use serde::Deserialize;

use super::Lab;

/// What is sent, and by how many at once.
#[derive(Debug, Clone)]
pub struct Load {
    /// Connections, shared by all addresses.
    pub connections: u32,
    /// The body of each request.
    pub body: String,
}

/// What wrk has seen.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Seen {
    /// Answers.
    pub requests: f64,
    /// From start to end, in microseconds.
    pub duration_us: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// 99 % took no longer.
    pub p99_us: f64,
    /// 99.9 % took no longer.
    pub p999_us: f64,
    /// Answers above 399, failures of sockets, timeouts.
    pub errors: u64,
}

/// Marks the line that is meant for us.
const MARK: &str = "bench: ";

const SCRIPT: &str = r#"
local file = io.open("BODY", "rb")
wrk.method = "POST"
wrk.headers["content-type"] = "application/json"
wrk.body = file:read("*a")
file:close()
function done(summary, latency, requests)
  local errors = summary.errors
  local format = 'bench: {"requests":%.0f,"duration_us":%.0f,"p50_us":%.0f,"p99_us":%.0f,"p999_us":%.0f,"errors":%.0f}\n'
  io.write(string.format(format, summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

impl Lab {
    /// Loads all `addresses` at once for `seconds`.
    ///
    /// # Errors
    /// wrk fails.
    pub async fn wrk(
        &self,
        addresses: &[SocketAddr],
        path: &str,
        load: &Load,
        seconds: u32,
    ) -> anyhow::Result<Seen> {
        let script = self.script(&load.body)?;
        let share = load.connections / addresses.len().max(1) as u32;
        let mut running = Vec::new();
        for address in addresses {
            let mut command = self.command(&self.options.wrk);
            command.args([
                "-t1",
                "-c",
                &share.to_string(),
                "-d",
                &format!("{seconds}s"),
                "--timeout",
                "10s",
                "-s",
            ]);
            command.arg(&script).arg(format!("http://{address}{path}"));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            running.push(command.spawn().context("wrk cannot be started; Debian: apt install wrk")?);
        }
        let mut seen = Vec::new();
        for wrk in running {
            let output = wrk.wait_with_output().await?;
            let said = String::from_utf8_lossy(&output.stdout);
            match read(&said) {
                Some(one) => seen.push(one),
                None => bail!("wrk failed: {said}{}", String::from_utf8_lossy(&output.stderr)),
            }
        }
        together(&seen).context("there was nobody to load")
    }

    /// A script for this body, written once.
    fn script(&self, body: &str) -> anyhow::Result<PathBuf> {
        let script = self.folder().join(format!("post-{}.lua", body.len()));
        let file = script.with_extension("body");
        write(&file, body)?;
        write(&script, &SCRIPT.replace("BODY", &file.display().to_string()))?;
        Ok(script)
    }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// The line for us in what wrk printed.
fn read(output: &str) -> Option<Seen> {
    output.lines().find_map(|line| serde_json::from_str(line.strip_prefix(MARK)?).ok())
}

/// Several at the same time: answers add up, half of the latencies are below the mean of the medians
/// (about), and high percentiles are the worst one's.
fn together(seen: &[Seen]) -> Option<Seen> {
    let first = *seen.first()?;
    let count = seen.len() as f64;
    let sum = |value: fn(&Seen) -> f64| seen.iter().map(value).sum::<f64>();
    let max = |value: fn(&Seen) -> f64| seen.iter().map(value).fold(0.0, f64::max);
    let per_us = sum(|it| it.requests / it.duration_us);
    let requests = sum(|it| it.requests);
    Some(Seen {
        requests,
        duration_us: if per_us > 0.0 { requests / per_us } else { first.duration_us },
        p50_us: sum(|it| it.p50_us) / count,
        p99_us: max(|it| it.p99_us),
        p999_us: max(|it| it.p999_us),
        errors: seen.iter().map(|it| it.errors).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 2s test @ http://127.0.0.1:5009/\n  1 threads and 64 connections\n\
        Requests/sec:  50000.00\n\
        bench: {\"requests\":100000,\"duration_us\":2000000,\"p50_us\":900,\"p99_us\":2100,\"p999_us\":3000,\"errors\":7}\n";

    #[test]
    fn the_line_of_the_script_is_found_in_the_output() {
        let seen = read(OUTPUT).expect("it is there");

        assert_eq!((seen.requests, seen.p999_us, seen.errors), (100_000.0, 3_000.0, 7));
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused"), None);
    }

    #[test]
    fn several_loads_at_once_are_one() {
        let one = read(OUTPUT).expect("it is there");
        let slow = Seen { requests: 50_000.0, p50_us: 1_100.0, p99_us: 9_000.0, errors: 0, ..one };

        let seen = together(&[one, slow]).expect("two");

        assert_eq!((seen.requests, seen.duration_us.round()), (150_000.0, 2_000_000.0));
        assert_eq!((seen.p50_us, seen.p99_us, seen.errors), (1_000.0, 9_000.0, 7));
        assert_eq!(together(&[]), None);
    }
}
