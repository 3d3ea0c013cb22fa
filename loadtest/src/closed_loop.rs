//! Sends requests with a fixed number of callers. Each sends its next request after the answer to its last
//! one, so a slow gateway receives fewer requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;
use tokio::task::JoinSet;

use crate::load::Load;

/// Sends the load with `callers` callers; returns the number of requests.
pub(crate) async fn send(load: Load, callers: u64) -> anyhow::Result<u64> {
    let next = Arc::new(AtomicU64::new(0));
    let mut running = JoinSet::new();
    for _ in 0..callers {
        running.spawn(call_in_turn(load.clone(), next.clone()));
    }
    drop(load);
    let mut sent = 0;
    while let Some(of_one) = running.join_next().await {
        sent += of_one.context("a caller panicked")?;
    }
    Ok(sent)
}

async fn call_in_turn(load: Load, next: Arc<AtomicU64>) -> u64 {
    let mut sent = 0;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        // The first request always leaves, so that no load is empty.
        let over = load.duration.is_some_and(|duration| load.start.elapsed() >= duration) && n > 0;
        if n >= load.requests || over {
            return sent;
        }
        load.send(n, Instant::now()).await;
        sent += 1;
    }
}
