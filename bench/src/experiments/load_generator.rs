//! The same closed loop from loadtest and from wrk, in turn: both must report the same.
//!
//! The work sleeps 20 to 60 ms, so the gateway is far below half of what it can do.

use serde::{Deserialize, Serialize};

use super::loadtest::Load;
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::lab::deployment::QUESTION;
use crate::lab::gateway::Gateway;
use crate::lab::wrk;
use crate::markdown::{head, row};
use crate::options::RunOptions;
use crate::results::Spread;

const CONNECTIONS: u32 = 20;
const WORK: &str = "20ms..60ms";
/// The share by which they may differ.
const ALLOWED: f64 = 0.10;
const MEASURES: [&str; 3] = ["answers a second", "p50 in ms", "p99 in ms"];

/// What each reports in each round, in the order of the measures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Seen {
    loadtest: Vec<[f64; 3]>,
    wrk: Vec<[f64; 3]>,
}

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Seen> {
    let lab = Lab::open(options.clone())?;
    let proxy = vec![("SIMULATED_LATENCY", WORK.to_owned()), ("WEATHER_PROVIDER", "simulated".to_owned())];
    let gateway = lab.gateway(Gateway { proxy, ..Gateway::default() }).await?;
    let (connections, duration) = (CONNECTIONS.to_string(), format!("{}s", options.seconds));
    let load = ["--concurrency", &connections, "--duration"];
    Load::start(&lab, gateway.addresses[0], &[&load[..], &["2s"]].concat())?.report().await?;
    let mut seen = Seen::default();
    for _ in 0..options.rounds {
        let ours = Load::start(&lab, gateway.addresses[0], &[&load[..], &[&duration]].concat())?;
        let ours = ours.report().await?;
        let latency = ours.latency_ms.unwrap_or_default();
        seen.loadtest.push([ours.throughput_per_second, latency.p50, latency.p99]);
        let same = wrk::Load { connections: CONNECTIONS, body: QUESTION.to_owned() };
        let theirs = lab.wrk(&gateway.addresses, gateway.path, &same, options.seconds).await?;
        anyhow::ensure!(theirs.errors == 0, "wrk saw {} failures", theirs.errors);
        let per_second = theirs.requests / theirs.duration_us * 1e6;
        seen.wrk.push([per_second, theirs.p50_us / 1e3, theirs.p99_us / 1e3]);
    }
    Ok(seen)
}

/// The table, and what differs by too much.
pub(super) fn outcome(seen: &Seen) -> Outcome {
    let mut table = head(&["", "loadtest", "wrk", "difference"], 1);
    let mut missed = Vec::new();
    for (number, measure) in MEASURES.iter().enumerate() {
        let median = |rounds: &[[f64; 3]]| {
            Spread::of(rounds.iter().map(|round| round[number])).map_or(0.0, |spread| spread.median)
        };
        let (ours, theirs) = (median(&seen.loadtest), median(&seen.wrk));
        let difference = format!("{:+.1}%", (ours / theirs - 1.0) * 100.0);
        row(
            &mut table,
            [(*measure).to_owned(), format!("{ours:.1}"), format!("{theirs:.1}"), difference.clone()],
        );
        let by = (ours / theirs - 1.0).abs();
        // Not a number is no agreement.
        if by.is_nan() || by > ALLOWED {
            missed.push(format!("{measure}: loadtest and wrk differ by {difference}"));
        }
    }
    Outcome { table, missed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generators_may_differ_by_a_tenth_and_no_more() {
        let seen = Seen { loadtest: vec![[95.0, 41.0, 80.0]], wrk: vec![[100.0, 40.0, 60.0]] };

        let outcome = outcome(&seen);

        assert!(outcome.table.contains("| answers a second | 95.0 | 100.0 | -5.0% |"), "{}", outcome.table);
        assert_eq!(outcome.missed, ["p99 in ms: loadtest and wrk differ by +33.3%"]);
    }
}
