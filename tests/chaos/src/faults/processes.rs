//! Faults of gateways and workers. The cluster replaces each process that ends.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use stack::LogReader;

use super::Arena;
use crate::cluster::Place;

fn worker(arena: &Arena, target: usize) -> Arc<Place> {
    let workers = arena.cluster.workers();
    Arc::clone(workers[target % workers.len()])
}

fn gateway(arena: &Arena, target: usize) -> Arc<Place> {
    let gateways = arena.cluster.gateways();
    Arc::clone(gateways[target % gateways.len()])
}

fn signal(place: &Place, signal: Signal) -> anyhow::Result<String> {
    place.signal(signal);
    Ok(place.name().to_owned())
}

pub(super) async fn kill_worker(arena: &Arena, target: usize) -> anyhow::Result<String> {
    signal(&worker(arena, target), Signal::SIGKILL)
}

pub(super) async fn restart_worker(arena: &Arena, target: usize) -> anyhow::Result<String> {
    signal(&worker(arena, target), Signal::SIGTERM)
}

pub(super) async fn kill_gateway(arena: &Arena, target: usize) -> anyhow::Result<String> {
    signal(&gateway(arena, target), Signal::SIGKILL)
}

pub(super) async fn restart_gateway(arena: &Arena, target: usize) -> anyhow::Result<String> {
    signal(&gateway(arena, target), Signal::SIGTERM)
}

/// While the worker is stopped, other workers claim its entries.
pub(super) async fn stop_worker(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let place = worker(arena, target);
    place.signal(Signal::SIGSTOP);
    tokio::time::sleep(lasts).await;
    signal(&place, Signal::SIGCONT)
}

pub(super) async fn no_workers(arena: &Arena, lasts: Duration) -> anyhow::Result<String> {
    let workers = arena.cluster.workers();
    workers.iter().for_each(|place| {
        place.want(false);
        place.signal(Signal::SIGKILL);
    });
    tokio::time::sleep(lasts).await;
    workers.iter().for_each(|place| place.want(true));
    Ok(format!("{} workers", workers.len()))
}

pub(super) async fn slow_worker(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    worker_with_setting(arena, target, lasts, ("SIMULATED_LATENCY", "1s..3s".to_owned())).await
}

pub(super) async fn skew_clock(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let skew = if target.is_multiple_of(2) { 2_000 } else { -2_000 };
    worker_with_setting(arena, target, lasts, ("CLOCK_SKEW", skew.to_string())).await
}

/// One worker is replaced by one with another setting, and that one by a normal one.
async fn worker_with_setting(
    arena: &Arena,
    target: usize,
    lasts: Duration,
    setting: (&'static str, String),
) -> anyhow::Result<String> {
    let place = worker(arena, target);
    let on = format!("{} {}={}", place.name(), setting.0, setting.1);
    place.set_extra(Some(setting));
    place.signal(Signal::SIGTERM);
    tokio::time::sleep(lasts).await;
    place.set_extra(None);
    place.signal(Signal::SIGTERM);
    Ok(on)
}

/// A worker starts under the name of a live worker; it must notice and choose a name of its own.
pub(super) async fn double_name(arena: &Arena, target: usize, lasts: Duration) -> anyhow::Result<String> {
    let taken = worker(arena, target + 1).current().map(|current| current.process);
    let name =
        taken.map(|process| arena.recorder.with(|history| history.processes[process].consumer.clone()));
    let name = name.context("nobody to share a name with")?;
    worker_with_setting(arena, target, lasts, ("WORKER_NAME", name)).await
}

/// The log fills the pipe meanwhile; the process must go on working.
pub(super) async fn stop_reading_log(
    arena: &Arena,
    target: usize,
    lasts: Duration,
) -> anyhow::Result<String> {
    let places = arena.cluster.places();
    let place = &places[target % places.len()];
    place.log_reader(LogReader::Sleeps);
    tokio::time::sleep(lasts).await;
    place.log_reader(LogReader::Reads);
    Ok(place.name().to_owned())
}
