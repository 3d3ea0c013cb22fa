//! What it all takes: streams and memory of Redis, memory and descriptors of processes.

use std::fs;

use crate::cluster::{Cluster, Control};
use crate::history::Measured;
use crate::setup::streams;

/// Looks at everything that runs now.
pub async fn measure(cluster: &Cluster) -> Measured {
    let mut measured = Measured::default();
    let control = cluster.control();
    for stream in streams() {
        let length: u64 = control.run(redis::cmd("XLEN").arg(&stream)).await.unwrap_or(0);
        measured.lengths.insert(stream, length);
    }
    measured.redis_bytes = redis_bytes(control).await.unwrap_or(0);
    for (process, pid) in cluster.running() {
        if let Some(bytes) = resident(pid) {
            measured.resident.insert(process, bytes);
        }
        if let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) {
            measured.descriptors.insert(process, descriptors.count() as u64);
        }
    }
    measured
}

async fn redis_bytes(control: &Control) -> Option<u64> {
    let info: String = control.run(redis::cmd("INFO").arg("memory")).await.ok()?;
    info.lines().find_map(|line| line.strip_prefix("used_memory:"))?.trim().parse().ok()
}

fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
}
