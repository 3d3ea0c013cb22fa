//! Injects faults into the system and undoes them.
//!
//! A fault is inflicted by one function that returns once it is over; [`inject`] times it and then
//! waits for the gateways to answer again, while the next fault may already come.

mod network;
mod processes;
mod redis;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::history::{Injected, Recorder, now};
use crate::load::{Caller, Probe};
use crate::schedule::{Fault, Planned};

/// Where faults happen.
#[derive(Clone)]
pub struct Arena {
    /// The system.
    pub cluster: Arc<Cluster>,
    /// Probes the gateways after a fault.
    pub caller: Caller,
    /// Records each fault in the history.
    pub recorder: Recorder,
}

/// The `worker` of forged replies.
pub const FORGER: &str = "forger";

/// A gateway that has not answered after this time has not healed.
const HEALING_PATIENCE: Duration = Duration::from_secs(30);

/// Injects `schedule`, counted from now, one fault after the other; returns once everything was
/// healed or given up.
pub async fn inject(schedule: Vec<Planned>, arena: &Arena) {
    let started = Instant::now();
    let mut healing = JoinSet::new();
    for planned in schedule {
        tokio::time::sleep_until(started + planned.at).await;
        let from = now();
        let (on, failed) = match inflict(&planned, arena).await {
            Ok(on) => (on, None),
            Err(error) => (String::new(), Some(format!("{error:#}"))),
        };
        let injected = Injected { planned, on, from, to: now(), healed: None, failed };
        let place = arena.recorder.with(|history| {
            history.faults.push(injected);
            history.faults.len() - 1
        });
        let arena = arena.clone();
        healing.spawn(async move {
            if wait_until_well(&arena).await {
                arena.recorder.with(|history| history.faults[place].healed = Some(now()));
            }
        });
    }
    while healing.join_next().await.is_some() {}
}

/// Injects the fault, then undoes it. Returns the name of the process or server it was injected on.
async fn inflict(planned: &Planned, arena: &Arena) -> anyhow::Result<String> {
    let (target, lasts) = (planned.target, planned.lasts);
    match planned.fault {
        Fault::ClientKill => redis::kill_clients(arena, lasts).await,
        Fault::RedisStop => redis::stop(arena, lasts).await,
        Fault::ClientPause => redis::pause_clients(arena, lasts).await,
        Fault::OutOfMemory => redis::out_of_memory(arena, lasts).await,
        Fault::Misconf => redis::misconf(arena, lasts).await,
        Fault::ReadOnly => redis::read_only(arena, lasts).await,
        Fault::RedisKill => redis::kill(arena, lasts).await,
        Fault::LinkHold => network::hold(arena, target, lasts).await,
        Fault::LinkDelay => network::delay(arena, target, lasts).await,
        Fault::LinkCut => network::cut(arena, target).await,
        Fault::LinkCutReplies => network::cut_replies(arena, target, lasts).await,
        Fault::WorkerKill => processes::kill_worker(arena, target).await,
        Fault::WorkerStop => processes::stop_worker(arena, target, lasts).await,
        Fault::WorkerRestart => processes::restart_worker(arena, target).await,
        Fault::IngressKill => processes::kill_gateway(arena, target).await,
        Fault::IngressRestart => processes::restart_gateway(arena, target).await,
        Fault::NoWorkers => processes::no_workers(arena, lasts).await,
        Fault::SlowWorker => processes::slow_worker(arena, target, lasts).await,
        Fault::ClockSkew => processes::skew_clock(arena, target, lasts).await,
        Fault::FlushAll => streams::flush(arena).await,
        Fault::DeleteStream => streams::delete(arena).await,
        Fault::DestroyGroup => streams::destroy_group(arena).await,
        Fault::PoisonEntries => streams::poison(arena, target).await,
        Fault::ForgedReplies => streams::forge(arena, target).await,
        Fault::LogPipeFull => processes::stop_reading_log(arena, target, lasts).await,
        Fault::LaneOfAnotherType => streams::lane_of_another_type(arena, target, lasts).await,
        Fault::NameMoves => network::lead_elsewhere(arena, target, lasts).await,
        Fault::CommandDenied => redis::deny(arena, target, lasts).await,
        Fault::DoubledName => processes::double_name(arena, target, lasts).await,
    }
}

/// A gateway counts as well after this many probes in a row were answered 200.
const IN_A_ROW: u32 = 3;

/// Waits until every gateway answers; false after [`HEALING_PATIENCE`].
async fn wait_until_well(arena: &Arena) -> bool {
    let give_up = Instant::now() + HEALING_PATIENCE;
    for gateway in 0..arena.cluster.gateways().len() {
        let mut well = 0;
        while well < IN_A_ROW {
            if Instant::now() > give_up {
                return false;
            }
            well = match arena.caller.probe(&arena.cluster, gateway).await {
                Probe::Well => well + 1,
                Probe::Unwell => {
                    tokio::time::sleep(Duration::from_millis(25)).await;
                    0
                }
            };
        }
    }
    true
}
