//! A fixed rate of requests, sent whether or not earlier ones were answered: as the users of a slow gateway do.
//!
//! Each request has a moment at which it is to leave, fixed before the load begins, and its latency
//! counts from there. Counted from when it really left, the time it had to wait would be missing
//! exactly where the gateway is slow: "coordinated omission" (Gil Tene, "How NOT to measure latency").

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use anyhow::Context;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::load::Load;
use crate::quantity::Rate;

/// Sends the load at `rate`; answers how many requests that were.
pub(crate) async fn send(load: Load, rate: Rate) -> anyhow::Result<u64> {
    let runtime = Handle::current();
    let (sent, all_sent) = oneshot::channel();
    // A thread of its own: the runtime's timers tick in milliseconds, and a runtime that is busy
    // with answers would hold requests back.
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
        // Late already: leave at once, until the schedule is met again.
        if let Some(early) = intended.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        let load = Arc::clone(load);
        runtime.spawn(async move { load.send(n, intended).await });
    }
    load.requests
}
