//! Sends requests at a fixed rate, whether or not earlier ones are answered. Real users do the same.
//!
//! The schedule of all requests is fixed before the load begins, and latency counts from the scheduled
//! time. If latency counted from the time at which a request really left, the delay of late requests
//! would be missing: "coordinated omission" (Gil Tene, "How NOT to measure latency").

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::load::Load;
use crate::quantity::Rate;

/// Sends the load at `rate`; returns the number of requests.
pub(crate) async fn send(load: Load, rate: Rate) -> anyhow::Result<u64> {
    let runtime = Handle::current();
    let (sent, all_sent) = oneshot::channel();
    // A thread of its own, because the runtime's timers have a resolution of one millisecond, and a runtime
    // that is busy with answers would delay requests.
    let load = Arc::new(load);
    let pacer = move || {
        let _ = sent.send(pace(&load, rate, &runtime));
    };
    thread::Builder::new().name("pacer".to_owned()).spawn(pacer).context("starting the pacer")?;
    all_sent.await.context("the pacer panicked")
}

fn pace(load: &Arc<Load>, rate: Rate, runtime: &Handle) -> u64 {
    for n in 0..load.requests {
        let intended = load.start + rate.offset(n);
        // A late request leaves at once, so that the pacer catches up with the schedule.
        if let Some(early) = intended.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let load = Arc::clone(load);
        runtime.spawn(async move { load.send(n, intended).await });
    }
    load.requests
}
