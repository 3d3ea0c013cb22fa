//! The clients: an open loop, so that a slow answer does not thin out the load that follows.

mod caller;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

pub use self::caller::{Caller, Probe};
pub use self::plan::{Body, PlannedCall, plan};
use crate::cluster::Cluster;

/// Sends what was planned for `duration`, each call at its time, and waits for the last one.
pub async fn drive(cluster: &Arc<Cluster>, caller: &Caller, seed: u64, rate: u32, duration: Duration) {
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for planned in plan(seed, rate).take_while(|call| call.at < duration) {
        tokio::time::sleep_until(started + planned.at).await;
        let (cluster, caller) = (Arc::clone(cluster), caller.clone());
        calls.spawn(async move { caller.call(&cluster, planned).await });
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
}
