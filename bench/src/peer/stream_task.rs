//! What every contestant of the trial `streams` does: the same entries, and the same meter.
//!
//! The contestants that need other crates are in `bench/peers/rust`, which includes this file.

use std::time::{Duration, Instant};
use std::{fs, io};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};

/// The stream.
pub const STREAM: &str = "orders";
/// The consumer group.
pub const GROUP: &str = "billing";
/// The consumer.
pub const CONSUMER: &str = "host-1";
/// Entries in one pipeline, and in one read.
pub const BATCH: usize = 128;

/// The value of an entry: about 100 bytes of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    id: u64,
    customer: String,
    item: String,
    quantity: u32,
    price_cents: u64,
}

impl Order {
    /// The order with this number.
    pub fn number(id: usize) -> Self {
        Self {
            id: id as u64,
            customer: format!("customer-{:06}", id % 999_983),
            item: "Darjeeling, 250 g".to_owned(),
            quantity: 3,
            price_cents: 1_299,
        }
    }
}

/// The orders from 0 to `entries`, a batch at a time.
pub fn batches(entries: usize) -> impl Iterator<Item = Vec<Order>> {
    (0..entries)
        .step_by(BATCH)
        .map(move |start| (start..entries.min(start + BATCH)).map(Order::number).collect())
}

/// What a contestant reports, as one line of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// How long it took.
    pub seconds: f64,
    /// User and system time of the contestant's process.
    pub cpu_seconds: f64,
    /// The most memory that the process ever had, in KiB.
    pub peak_kib: u64,
}

/// Measures this process.
pub struct Meter {
    started: Instant,
    cpu: Duration,
}

impl Meter {
    /// From now on.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn start() -> io::Result<Self> {
        Ok(Self { cpu: used()?, started: Instant::now() })
    }

    /// Until now.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn report(&self) -> io::Result<Report> {
        let seconds = self.started.elapsed().as_secs_f64();
        let cpu_seconds = (used()? - self.cpu).as_secs_f64();
        Ok(Report { seconds, cpu_seconds, peak_kib: peak_kib()? })
    }
}

fn used() -> io::Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(Duration::from_micros(micros.unsigned_abs()))
}

/// Not from getrusage: its maximum includes what the parent had when it forked.
fn peak_kib() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.ok_or_else(|| io::Error::other("/proc/self/status has no VmHWM"))
}
