//! Makes the schedule of a run from a seed: which fault, when, on which target, for how long. The function is
//! pure, so the same seed gives the same schedule.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

/// What can be done to the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// CLIENT KILL of every connection, again and again.
    ClientKill,
    /// SIGSTOP of Redis: connections stay, nothing answers.
    RedisStop,
    /// CLIENT PAUSE: accepted, not answered.
    ClientPause,
    /// The link of one process to Redis passes no bytes: half-open TCP.
    LinkHold,
    /// The link of one process to Redis is slow.
    LinkDelay,
    /// Every connection of one process to Redis is cut.
    LinkCut,
    /// Commands of one process are executed, their answers cut: ambiguous.
    LinkCutReplies,
    /// maxmemory reached.
    OutOfMemory,
    /// A failed background save: writes are refused.
    Misconf,
    /// Redis becomes a replica of a port where no server listens, and then a primary again.
    ReadOnly,
    /// Redis killed with -9 and started again.
    RedisKill,
    /// FLUSHALL.
    FlushAll,
    /// DEL of the request stream.
    DeleteStream,
    /// XGROUP DESTROY.
    DestroyGroup,
    /// One worker killed with -9.
    WorkerKill,
    /// One worker stopped for longer than its lease, then continued.
    WorkerStop,
    /// One worker restarted with SIGTERM.
    WorkerRestart,
    /// One ingress killed with -9.
    IngressKill,
    /// One ingress restarted with SIGTERM.
    IngressRestart,
    /// All workers killed, and none for a while.
    NoWorkers,
    /// One worker that takes seconds for its work.
    SlowWorker,
    /// One worker whose clock is wrong by two seconds.
    ClockSkew,
    /// Entries that cannot be read, break the handler or the process, or are huge.
    PoisonEntries,
    /// Duplicate, late, forged and unreadable replies.
    ForgedReplies,
    /// The harness stops reading the log of one process, so its pipe is full.
    LogPipeFull,
    /// A reply lane's key has another type.
    LaneOfAnotherType,
    /// The address of Redis leads one process to another, empty server.
    NameMoves,
    /// Redis denies a command that gateways or workers need.
    CommandDenied,
    /// Two live workers have one name.
    DoubledName,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::ClientKill,
        Self::RedisStop,
        Self::ClientPause,
        Self::LinkHold,
        Self::LinkDelay,
        Self::LinkCut,
        Self::LinkCutReplies,
        Self::OutOfMemory,
        Self::Misconf,
        Self::ReadOnly,
        Self::RedisKill,
        Self::FlushAll,
        Self::DeleteStream,
        Self::DestroyGroup,
        Self::WorkerKill,
        Self::WorkerStop,
        Self::WorkerRestart,
        Self::IngressKill,
        Self::IngressRestart,
        Self::NoWorkers,
        Self::SlowWorker,
        Self::ClockSkew,
        Self::PoisonEntries,
        Self::ForgedReplies,
        Self::LogPipeFull,
        Self::LaneOfAnotherType,
        Self::NameMoves,
        Self::CommandDenied,
        Self::DoubledName,
    ];

    /// What the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientKill => "CLIENT KILL of all, repeated",
            Self::RedisStop => "Redis stopped (SIGSTOP)",
            Self::ClientPause => "CLIENT PAUSE",
            Self::LinkHold => "link of one process holds",
            Self::LinkDelay => "link of one process is slow",
            Self::LinkCut => "link of one process cut",
            Self::LinkCutReplies => "answers cut after execution",
            Self::OutOfMemory => "OOM (maxmemory)",
            Self::Misconf => "MISCONF (failed save)",
            Self::ReadOnly => "READONLY (demoted)",
            Self::RedisKill => "Redis kill -9, restart",
            Self::FlushAll => "FLUSHALL",
            Self::DeleteStream => "DEL of the request stream",
            Self::DestroyGroup => "XGROUP DESTROY",
            Self::WorkerKill => "worker kill -9",
            Self::WorkerStop => "worker stopped past its lease",
            Self::WorkerRestart => "worker SIGTERM, restart",
            Self::IngressKill => "ingress kill -9",
            Self::IngressRestart => "ingress SIGTERM, restart",
            Self::NoWorkers => "no worker",
            Self::SlowWorker => "slow worker",
            Self::ClockSkew => "clock skew of one worker",
            Self::PoisonEntries => "poison entries",
            Self::ForgedReplies => "forged, late, double replies",
            Self::LogPipeFull => "log pipe of one process full",
            Self::LaneOfAnotherType => "reply lane of another type",
            Self::NameMoves => "address leads elsewhere",
            Self::CommandDenied => "a command denied (ACL)",
            Self::DoubledName => "two workers of one name",
        }
    }

    /// How long it lasts, in milliseconds: in a run of minutes and, at most, in a long one. Zero is a blow.
    fn lasts(self) -> (u64, u64) {
        match self {
            Self::LinkCut
            | Self::FlushAll
            | Self::DeleteStream
            | Self::DestroyGroup
            | Self::WorkerKill
            | Self::WorkerRestart
            | Self::IngressKill
            | Self::IngressRestart
            | Self::PoisonEntries
            | Self::ForgedReplies => (0, 0),
            Self::RedisKill | Self::ClientKill | Self::LinkCutReplies => (500, 2_500),
            Self::ClientPause | Self::LinkDelay | Self::OutOfMemory | Self::Misconf | Self::ReadOnly => {
                (800, 4_000)
            }
            Self::RedisStop | Self::LinkHold => (1_000, 5_000),
            Self::WorkerStop | Self::NoWorkers => (1_500, 5_000),
            Self::LaneOfAnotherType | Self::NameMoves | Self::CommandDenied => (1_000, 4_000),
            Self::LogPipeFull => (2_000, 8_000),
            Self::SlowWorker | Self::ClockSkew | Self::DoubledName => (2_000, 8_000),
        }
    }
}

/// One fault of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// When, from the start of the load.
    pub at: Duration,
    /// What.
    pub fault: Fault,
    /// On whom: the fault takes it modulo what there is to choose from.
    pub target: usize,
    /// For how long.
    pub lasts: Duration,
}

/// Load alone, so that there is something to compare with.
pub const WARM_UP: Duration = Duration::from_secs(4);

/// Load alone at the end.
const COOL_DOWN: Duration = Duration::from_secs(1);

/// Runs up to this long have short faults close together, so that each kind has its turn.
const SHORT_RUN: Duration = Duration::from_secs(120);

/// The faults of a run that sends load for `duration`: all kinds in random order, again and again.
pub fn schedule(seed: u64, duration: Duration) -> Vec<Planned> {
    let mut chance = StdRng::seed_from_u64(seed);
    let short = duration <= SHORT_RUN;
    let pauses = if short { 700..1_200 } else { 1_500..4_000 };
    let end = duration.saturating_sub(COOL_DOWN);
    let (mut planned, mut at) = (Vec::new(), WARM_UP);
    loop {
        let mut kinds = Fault::ALL;
        kinds.shuffle(&mut chance);
        for fault in kinds {
            let (least, most) = fault.lasts();
            let most = if short { least + least / 4 } else { most };
            let lasts = Duration::from_millis(chance.random_range(least..=most));
            let target = chance.random_range(0..60);
            if at + lasts > end {
                return planned;
            }
            planned.push(Planned { at, fault, target, lasts });
            at += lasts + Duration::from_millis(chance.random_range(pauses.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    proptest! {
        #[test]
        fn one_seed_gives_one_schedule_and_no_two_faults_overlap(seed: u64, seconds in 5u64..700) {
            let duration = Duration::from_secs(seconds);

            let planned = schedule(seed, duration);

            prop_assert_eq!(&planned, &schedule(seed, duration));
            for pair in planned.windows(2) {
                prop_assert!(pair[0].at + pair[0].lasts < pair[1].at);
            }
            prop_assert!(planned.iter().all(|fault| fault.at + fault.lasts <= duration));
        }

        #[test]
        fn a_minute_has_every_kind_of_fault(seed: u64) {
            let kinds: HashSet<Fault> = schedule(seed, MINUTE).iter().map(|fault| fault.fault).collect();

            prop_assert_eq!(kinds.len(), Fault::ALL.len());
        }
    }

    #[test]
    fn another_seed_gives_another_schedule() {
        assert_ne!(schedule(1, MINUTE), schedule(2, MINUTE));
    }
}
