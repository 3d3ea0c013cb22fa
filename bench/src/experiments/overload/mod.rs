//! More load than the workers can do: the gateway must stay useful.
//!
//! A gateway and two workers whose work is sleeping. A closed loop finds their capacity; then comes 1, 2, 5
//! and 10 times as much in an open loop, a burst out of silence, and a light load right after a heavy one.

mod seen;
mod table;
mod target;
mod verdict;

use std::time::Duration;

use tokio::time::sleep;

use self::seen::Run;
pub(super) use self::seen::Seen;
use self::target::{LATENCY, SLOTS, Target, WORKERS};
use super::outcome::Outcome;
use crate::lab::Lab;
use crate::options::RunOptions;

const LOADS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
const HEAVY: f64 = 10.0;
const LIGHT: f64 = 0.5;
const BURST_SECONDS: u32 = 5;
const OVERLOAD_BEFORE_RECOVERY: u32 = 10;
const RECOVERY_SECONDS: u32 = 10;
/// What the gateway knows of its workers is old by then.
const SILENCE: Duration = Duration::from_secs(3);

/// Makes the trial.
pub(super) async fn run(options: &RunOptions) -> anyhow::Result<Seen> {
    target::raise_open_files()?;
    let lab = Lab::open(options.clone())?;
    let mut target = Target::start(&lab).await?;
    let capacity = closed_loop(&mut target, options.seconds).await?;
    let mut steady = Vec::new();
    for times in LOADS {
        let load = Offered { name: format!("{times} ×"), times, seconds: options.seconds };
        steady.push(open_loop(&mut target, capacity, load).await?);
    }
    target.drained().await?;
    sleep(SILENCE).await;
    let name = format!("{HEAVY} × at once after silence, {BURST_SECONDS} s");
    let burst = Offered { name, times: HEAVY, seconds: BURST_SECONDS };
    let burst = open_loop(&mut target, capacity, burst).await?;
    let recovery = light_after_heavy(&mut target, capacity).await?;
    Ok(Seen { capacity, steady, burst, recovery })
}

/// The table, and the bounds that were missed.
pub(super) fn outcome(seen: &Seen) -> Outcome {
    Outcome { table: table::table(seen), missed: verdict::missed(seen) }
}

/// Answers per second when there is always work, but never much.
async fn closed_loop(target: &mut Target<'_>, seconds: u32) -> anyhow::Result<f64> {
    let callers = (2 * WORKERS * SLOTS).to_string();
    let load = ["--mode", "concurrent", "--concurrency", &callers, "--duration"];
    // The first seconds warm connections and estimates up.
    target.result(target.load(&[&load[..], &["2s"]].concat())?).await?;
    let duration = format!("{seconds}s");
    let report = target.result(target.load(&[&load[..], &[&duration]].concat())?).await?;
    anyhow::ensure!(report.failed == 0, "the closed loop had failures: {}", report.failures_in_words());
    let capacity = report.throughput_per_second;
    println!("  capacity: {capacity:.0} answers a second from {WORKERS} × {SLOTS} slots of {LATENCY}");
    Ok(capacity)
}

/// A load of an open loop.
struct Offered {
    name: String,
    times: f64,
    seconds: u32,
}

impl Offered {
    fn start(&self, target: &Target<'_>, capacity: f64) -> anyhow::Result<super::loadtest::Load> {
        let (rate, duration) = (format!("{:.1}", capacity * self.times), format!("{}s", self.seconds));
        target.load(&["--mode", "rate", "--rate", &rate, "--duration", &duration])
    }
}

/// So many times the capacity, from an idle deployment.
async fn open_loop(target: &mut Target<'_>, capacity: f64, offered: Offered) -> anyhow::Result<Run> {
    target.drained().await?;
    let before = target.admitted().await?;
    let meter = target.meter();
    let load = offered.start(target, capacity)?;
    let (report, memory) = meter.during(target.result(load)).await?;
    let admitted = Some(target.admitted().await? - before);
    Ok(shown(Run { name: offered.name, times: offered.times, report, memory, admitted }))
}

/// How long after an overload requests still fail.
async fn light_after_heavy(target: &mut Target<'_>, capacity: f64) -> anyhow::Result<Run> {
    target.drained().await?;
    let name = format!("{LIGHT} × right after {OVERLOAD_BEFORE_RECOVERY} s of {HEAVY} ×");
    let meter = target.meter();
    let loads = async {
        let heavy = Offered { name: String::new(), times: HEAVY, seconds: OVERLOAD_BEFORE_RECOVERY };
        let heavy = heavy.start(target, capacity)?;
        sleep(Duration::from_secs(OVERLOAD_BEFORE_RECOVERY.into())).await;
        let light = Offered { name: String::new(), times: LIGHT, seconds: RECOVERY_SECONDS };
        let light = light.start(target, capacity)?;
        target.result(heavy).await?;
        target.result(light).await
    };
    let (report, memory) = meter.during(loads).await?;
    // How many entries the light load added is unknown: the loads overlap.
    Ok(shown(Run { name, times: LIGHT, report, memory, admitted: None }))
}

fn shown(run: Run) -> Run {
    let (in_time, failures) = (run.in_time(), run.report.failures_in_words());
    println!(
        "  {}: {in_time} of {} in time ({:.0} a second); {failures}",
        run.name,
        run.report.requests,
        run.goodput()
    );
    run
}
