//! A run: start, warm up, break, heal, settle, look.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use redis::streams::{StreamInfoConsumersReply, StreamInfoGroupsReply, StreamInfoStreamReply};
use reqwest::Client;
use tokio_util::sync::CancellationToken;

use crate::checker;
use crate::cluster::Cluster;
use crate::faults::{self, Arena};
use crate::history::{History, Recorder, Settled, now};
use crate::load::{self, Caller};
use crate::observe::metrics::{scrape, total};
use crate::observe::{machine, monitor, system, tails};
use crate::options::Options;
use crate::report::Report;
use crate::rogue;
use crate::schedule::{WARM_UP, schedule};
use crate::setup::{CONSUMER_GRACE, GROUP, REQUESTS};

/// A system with work left after this time will not finish it.
const SETTLING_PATIENCE: Duration = Duration::from_secs(30);

/// Logs and MONITOR are read a moment after they are written.
const READING_TIME: Duration = Duration::from_millis(500);

/// Runs as the options say.
///
/// # Errors
/// The system could not be started, or the history not be written.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    if let Some(file) = &options.check {
        let history: History = serde_json::from_slice(&std::fs::read(file)?)?;
        return Ok(Report::new(options.clone(), &history, checker::check(&history)));
    }
    let folder = tempfile::Builder::new().prefix("chaos-").tempdir()?;
    let recorder = Recorder::default();
    let caller = Caller::new(recorder.clone())?;
    let cluster = Arc::new(Cluster::start(&binaries(options)?, folder.path(), &recorder).await?);
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (beats, until) = (recorder.clone(), stop.clone());
    std::thread::spawn(move || machine::watch(beats, until));
    tokio::spawn(monitor::watch(cluster.socket(), recorder.clone(), stop.clone()));
    tokio::spawn(tails::follow(cluster.control().clone(), recorder.clone(), stop.clone()));

    let arena = Arena { cluster: Arc::clone(&cluster), caller: caller.clone(), recorder: recorder.clone() };
    tokio::join!(
        load::drive(&cluster, &caller, options.seed, options.rate, options.duration.0),
        measure_baseline(&cluster, &recorder),
        disturb(options, &arena),
    );
    // The callers hang up, so that their idle connections are not counted as descriptors of the gateways.
    drop((arena, caller));
    let scraper = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
    let mut settled = settle(&cluster, &scraper, &recorder).await;
    tokio::time::sleep(READING_TIME).await;
    settled.measured = system::measure(&cluster).await;
    count(&cluster, &scraper, &recorder).await;
    recorder.with(|history| history.settled = Some(settled));
    stop.cancel();

    let history = recorder.snapshot();
    let findings = checker::check(&history);
    let mut report = Report::new(options.clone(), &history, findings);
    if options.keep.is_some() || !report.is_good() {
        report.kept = Some(keep(options, folder, &history, &report)?);
    }
    Ok(report)
}

fn binaries(options: &Options) -> anyhow::Result<PathBuf> {
    if let Some(folder) = &options.binaries {
        return Ok(folder.clone());
    }
    let here = std::env::current_exe()?;
    Ok(here.parent().context("this program is nowhere")?.to_owned())
}

async fn measure_baseline(cluster: &Cluster, recorder: &Recorder) {
    tokio::time::sleep(WARM_UP - WARM_UP / 8).await;
    let baseline = system::measure(cluster).await;
    recorder.with(|history| history.baseline = Some(baseline));
}

/// Faults, a planted defect, or nothing.
async fn disturb(options: &Options, arena: &Arena) {
    let duration = options.duration.0;
    match options.plant {
        None if options.calm => {}
        None => faults::inject(schedule(options.seed, duration), arena).await,
        Some(plant) => {
            let stop = CancellationToken::new();
            let (control, recorder) = (arena.cluster.control().clone(), arena.recorder.clone());
            let rogue = tokio::spawn(rogue::run(plant, control, recorder, stop.clone()));
            tokio::time::sleep(duration).await;
            stop.cancel();
            // If the rogue does not stop, the check for leftovers reports it.
            let _ = rogue.await;
        }
    }
}

/// Waits until nothing is left over, and counts from the end of the last disturbance.
async fn settle(cluster: &Cluster, scraper: &Client, recorder: &Recorder) -> Settled {
    let started = recorder.with(|history| {
        let calls = history.calls.iter().map(|call| call.started);
        calls.chain(history.faults.iter().map(|fault| fault.to)).max().unwrap_or_else(now)
    });
    let mut settled = Settled::default();
    let since = |started| Duration::from_micros(now().saturating_sub(started));
    while settled.after_ms.is_none() && since(started) < SETTLING_PATIENCE {
        let left = left_over(cluster, scraper).await;
        settled.last = left.as_ref().map_or_else(|error| error.to_string(), LeftOver::to_string);
        if left.is_ok_and(|left| left.is_nothing()) {
            settled.after_ms = Some(since(started).as_millis() as u64);
        } else {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    settled
}

/// What is still under way.
#[derive(Debug, Clone, Copy)]
struct LeftOver {
    pending: usize,
    lag: usize,
    waiting: f64,
    alive: usize,
    workers: usize,
}

impl LeftOver {
    fn is_nothing(&self) -> bool {
        self.pending + self.lag == 0 && self.waiting == 0.0 && self.alive == self.workers
    }
}

impl std::fmt::Display for LeftOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pending, lag, waiting, alive, workers } = self;
        write!(
            f,
            "{pending} pending, lag {lag}, {waiting} callers waiting, {alive} consumers alive for {workers} workers"
        )
    }
}

async fn left_over(cluster: &Cluster, scraper: &Client) -> anyhow::Result<LeftOver> {
    let mut redis = cluster.control().connect().await?;
    let mut cmd = redis::cmd("XINFO");
    let groups: StreamInfoGroupsReply = cmd.arg("GROUPS").arg(REQUESTS).query_async(&mut redis).await?;
    let group = groups.groups.into_iter().find(|group| group.name == GROUP).context("no group")?;
    let mut cmd = redis::cmd("XINFO");
    let stream: StreamInfoStreamReply = cmd.arg("STREAM").arg(REQUESTS).query_async(&mut redis).await?;
    // Redis cannot tell the lag of a group that was made anew; at the end of the stream there is none.
    let unread = usize::from(group.last_delivered_id != stream.last_generated_id);
    let mut cmd = redis::cmd("XINFO");
    cmd.arg("CONSUMERS").arg(REQUESTS).arg(GROUP);
    let consumers: StreamInfoConsumersReply = cmd.query_async(&mut redis).await?;
    let is_alive = |idle: usize| idle < CONSUMER_GRACE.as_millis() as usize;
    let mut waiting = 0.0;
    for place in cluster.gateways() {
        let admin = place.current().and_then(|it| it.addresses().admin).context("a gateway is away")?;
        let metrics = scrape(scraper, &admin).await;
        anyhow::ensure!(!metrics.is_empty(), "a gateway does not tell its metrics");
        waiting += total(&metrics, "streamgate_pending_requests");
    }
    Ok(LeftOver {
        pending: group.pending,
        lag: group.lag.unwrap_or(unread),
        waiting,
        alive: consumers.consumers.iter().filter(|consumer| is_alive(consumer.idle)).count(),
        workers: cluster.workers().iter().filter(|place| place.current().is_some()).count(),
    })
}

/// Records the metrics of every process that still runs.
async fn count(cluster: &Cluster, scraper: &Client, recorder: &Recorder) {
    for place in cluster.places() {
        let Some(current) = place.current() else { continue };
        if let Some(admin) = current.addresses().admin {
            let metrics = scrape(scraper, &admin).await;
            recorder.with(|history| history.processes[current.process].metrics = metrics);
        }
    }
}

/// Keeps logs, history and report.
fn keep(
    options: &Options,
    folder: tempfile::TempDir,
    history: &History,
    report: &Report,
) -> anyhow::Result<PathBuf> {
    let source = folder.keep();
    std::fs::write(source.join("history.json"), serde_json::to_vec(history)?)?;
    std::fs::write(source.join("report.txt"), report.to_string())?;
    let Some(target) = &options.keep else { return Ok(source) };
    std::fs::create_dir_all(target)?;
    for file in std::fs::read_dir(&source)? {
        let file = file?;
        std::fs::copy(file.path(), target.join(file.file_name()))?;
    }
    std::fs::remove_dir_all(&source)?;
    Ok(absolute(target))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
