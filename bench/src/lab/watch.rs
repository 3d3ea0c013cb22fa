//! Who else was busy, and a refusal of what was measured meanwhile.

use std::time::{Duration, Instant};

use anyhow::bail;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Lab;
use super::machine::{Busy, TICKS};

/// What others may take, in processors, before a measurement says nothing.
const ALLOWED: f64 = 0.1;
/// How often a measurement is repeated because of them.
const REPETITIONS: u32 = 10;
/// How long to wait for others to finish.
const PAUSE: Duration = Duration::from_secs(2);

/// CPU time of everything on this machine, from one moment on.
pub struct Watch {
    before: Busy,
    children: Duration,
    started: Instant,
}

/// What a [`Watch`] has seen.
pub struct Watched {
    /// CPU time at the start.
    pub before: Busy,
    /// CPU time at the end.
    pub after: Busy,
    /// Who disturbed.
    pub disturbance: Disturbance,
}

/// What others took while something was measured.
#[derive(Debug, Clone)]
pub struct Disturbance {
    /// Processors that others kept busy.
    pub others: f64,
    /// Which of them took the most.
    pub busiest: String,
}

impl Watch {
    /// From now on.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self { before: Busy::now(), children: ended_children()?, started: Instant::now() })
    }

    /// Until now. This process, `ours` and children that ended meanwhile and were waited for are not others.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn end(self, ours: impl IntoIterator<Item = u32>) -> anyhow::Result<Watched> {
        let (after, children, elapsed) = (Busy::now(), ended_children()?, self.started.elapsed());
        let ours: Vec<u32> = ours.into_iter().chain([std::process::id()]).collect();
        let own: u64 = ours.iter().map(|pid| after.since(&self.before, *pid)).sum();
        let own = own as f64 / TICKS + (children - self.children).as_secs_f64();
        let all = after.total.saturating_sub(self.before.total) as f64 / TICKS;
        let busiest = after.busiest(&self.before, &ours);
        let disturbance = Disturbance {
            others: ((all - own) / elapsed.as_secs_f64()).max(0.0),
            busiest: busiest.map_or("short-lived ones".to_owned(), |(name, _)| name),
        };
        Ok(Watched { before: self.before, after, disturbance })
    }
}

impl Lab {
    /// Measures until nobody else was busy.
    ///
    /// # Errors
    /// `measure` fails, or others are busy all the time.
    pub async fn undisturbed<T>(
        &self,
        mut measure: impl AsyncFnMut() -> anyhow::Result<(T, Disturbance)>,
    ) -> anyhow::Result<T> {
        let mut stranger = String::new();
        for _ in 0..REPETITIONS {
            let (measured, Disturbance { others, busiest }) = measure().await?;
            if others <= ALLOWED || self.options.allow_noise {
                return Ok(measured);
            }
            println!("  refused: others took {others:.2} of a processor ({busiest})");
            stranger = busiest;
            tokio::time::sleep(PAUSE).await;
        }
        bail!(
            "other processes took more than a tenth of a processor in each of {REPETITIONS} attempts, most of it {stranger}: stop them, or keep such rounds with --allow-noise"
        )
    }
}

/// CPU time of children that have ended and were waited for: wrk.
fn ended_children() -> anyhow::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}
