use std::collections::BTreeMap;

use anyhow::Context;
use serde_json::Value;

use crate::lab::Lab;
use crate::lab::deployment::Deployment;
use crate::lab::gateway::Gateway;
use crate::results::{Sample, Series};

/// Times the capacity.
const LOADS: [f64; 8] = [0.1, 0.25, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0];
/// What keeps the gateway busy while its capacity is looked for.
const CALLERS: &str = "128";
/// Of the gateway and of its callers: later answers do not count.
const DEADLINE: &str = "1s";

/// So much work at once, and how long it takes: sleeping, so that generator and gateway have the machine
/// to themselves even at ten times the capacity.
const SLOTS: &str = "8";
const WORK: &str = "2ms..6ms";

/// More and more load in an open loop by our own generator. The capacity is what the same generator
/// reaches in a closed loop.
pub(super) async fn run(lab: &Lab) -> anyhow::Result<Vec<Series>> {
    // Admission refuses what would not be answered in time.
    let deadline = vec![("REQUEST_TIMEOUT", DEADLINE.to_owned())];
    let mut proxy = deadline.clone();
    proxy.extend([("WORKER_CONCURRENCY", SLOTS.to_owned()), ("SIMULATED_LATENCY", WORK.to_owned())]);
    let gateway = Gateway { ingress: deadline, proxy, ..Gateway::default() };
    let gateway = lab.gateway(gateway).await?;
    let closed = ["--mode", "concurrent", "--concurrency", CALLERS];
    loadtest(lab, &gateway, &closed).await?;
    let capacity = number(&loadtest(lab, &gateway, &closed).await?, "/throughput_per_second")?;
    println!("  capacity: {capacity:.0} answers a second");
    let mut series: Vec<Series> = LOADS
        .map(|times| Series {
            target: "gateway".to_owned(),
            point: format!("{times} ×"),
            samples: Vec::new(),
        })
        .into();
    for round in 1..=lab.options.rounds {
        for (times, series) in LOADS.iter().zip(&mut series) {
            let rate = (capacity * times).max(1.0);
            let open = ["--mode", "rate", "--rate", &format!("{rate:.0}"), "--timeout", "2s"];
            let sample = sample(&loadtest(lab, &gateway, &open).await?, rate)?;
            println!(
                "  {round}/{}  {times} ×  {:.0} of {rate:.0} a second   p99 {:.0} µs   {} refused or failed",
                lab.options.rounds, sample.per_second, sample.p99_us, sample.errors
            );
            series.samples.push(sample);
        }
    }
    Ok(series)
}

/// The report of one load.
async fn loadtest(lab: &Lab, gateway: &Deployment, load: &[&str]) -> anyhow::Result<Value> {
    let mut command = lab.command(lab.binary("loadtest"));
    command.args(["--url", &format!("http://{}", gateway.addresses[0]), "--output", "json"]);
    command.args([
        "--deadline",
        DEADLINE,
        "--max-error-rate",
        "1",
        "--duration",
        &format!("{}s", lab.options.seconds),
    ]);
    let output =
        command.args(load).kill_on_drop(true).output().await.context("loadtest cannot be started")?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("loadtest failed: {}", String::from_utf8_lossy(&output.stderr)))
}

fn sample(report: &Value, offered: f64) -> anyhow::Result<Sample> {
    let sent = number(report, "/requests")?;
    let us = |percentile: &str| number(report, &format!("/latency_ms/{percentile}")).unwrap_or(0.0) * 1e3;
    let more = BTreeMap::from([
        ("offered_per_second".to_owned(), offered),
        ("sent_per_second".to_owned(), number(report, "/pace/sent_per_second")?),
        ("failed_share".to_owned(), number(report, "/failed")? / sent.max(1.0)),
        ("send_delay_p99_us".to_owned(), number(report, "/pace/start_delay_ms/p99")? * 1e3),
    ]);
    Ok(Sample {
        per_second: number(report, "/goodput/per_second")?,
        p50_us: us("p50"),
        p99_us: us("p99"),
        p999_us: us("p99.9"),
        errors: number(report, "/failed")? as u64,
        more,
        ..Sample::default()
    })
}

fn number(report: &Value, at: &str) -> anyhow::Result<f64> {
    report.pointer(at).and_then(Value::as_f64).with_context(|| format!("loadtest did not report {at}"))
}
