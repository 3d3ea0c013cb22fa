//! The recording of a run as plain data. The checker reads nothing else.

mod stored;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

pub use self::stored::{Command, CommandKind, Entry, Fields, entry_time};
use crate::schedule::Planned;

/// Unix time in microseconds. Everything runs on one machine, so all clocks are this one.
pub type Micros = u64;

/// The time now.
pub fn now() -> Micros {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
}

/// All observations of a run.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct History {
    /// Every process that was started, in that order; others refer to it by its place here.
    pub processes: Vec<Process>,
    /// Every call of a client.
    pub calls: Vec<Call>,
    /// What Redis executed, in its order (MONITOR).
    pub commands: Vec<Command>,
    /// What was read from the streams, each entry once.
    pub entries: Vec<Entry>,
    /// What processes logged.
    pub events: Vec<Event>,
    /// What was done to the system.
    pub faults: Vec<Injected>,
    /// What the harness wrote to the streams itself.
    pub writings: Vec<Writing>,
    /// Periods in which the machine did not run the harness; measurements from them are unreliable.
    #[serde(default)]
    pub stalls: Vec<(Micros, Micros)>,
    /// After the warm-up.
    pub baseline: Option<Measured>,
    /// After everything was healed and the load had ended.
    pub settled: Option<Settled>,
}

/// Which part a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// A gateway.
    Ingress,
    /// A worker.
    Worker,
}

/// One process from its start to its end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Process {
    /// Name of its place, such as `worker-2`.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// A worker's name in the group.
    pub consumer: String,
    /// The planted error of its clock.
    pub skew_ms: i64,
    /// Its process id.
    pub pid: u32,
    /// When it was started.
    pub started: Micros,
    /// When it ended and how, if it did.
    pub ended: Option<(Micros, String)>,
    /// Its metrics at the end of the run.
    pub metrics: BTreeMap<String, f64>,
}

/// What a caller wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// A forecast.
    Forecast,
    /// A forecast; the caller hangs up before the answer.
    HangUp,
    /// Something a gateway refuses.
    Invalid,
    /// Work that breaks.
    Poison,
    /// To know whether the gateway is well.
    Probe,
}

/// One call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// What for.
    pub wish: Wish,
    /// Which place it named, unique for the pair; the location alone is unique, too.
    pub city: String,
    /// See `city`.
    pub location: String,
    /// The gateway it called.
    pub process: usize,
    /// When it should have started: load does not wait for answers.
    pub intended: Micros,
    /// When it started.
    pub started: Micros,
    /// When it ended.
    pub ended: Micros,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Outcome {
    /// With an answer.
    Answered(Answer),
    /// Without one: the connection broke.
    Broken(String),
    /// The caller left.
    Left,
}

/// What a caller got.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `x-request-id`.
    pub id: String,
    /// `requestId` of the body.
    pub body_id: Option<String>,
    /// `city` of the body.
    pub city: Option<String>,
    /// `location` of the body.
    pub location: Option<String>,
    /// `detail` of a problem.
    pub detail: Option<String>,
}

/// Something a process logged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// When, by the process.
    pub at: Micros,
    /// Who.
    pub process: usize,
    /// What.
    pub kind: EventKind,
}

/// The log lines that the checker looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A worker was given an entry.
    Delivered {
        /// The entry.
        entry: String,
        /// Which delivery.
        attempt: u64,
    },
    /// A worker started its handler.
    Executing {
        /// The request.
        id: String,
        /// Its entry.
        entry: String,
    },
    /// An entry went to the dead letters.
    DeadLettered,
    /// A gateway answered.
    Answered {
        /// The request.
        id: String,
        /// With this.
        status: u64,
    },
    /// A gateway read its lane again from the beginning.
    StartedOver,
    /// The process panicked.
    Panic(String),
    /// A line holds a secret.
    Secret(String),
    /// A line that is no log line.
    Garbage(String),
}

/// A fault that was injected.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Injected {
    /// As it was planned.
    pub planned: Planned,
    /// On whom or what.
    pub on: String,
    /// From here.
    pub from: Micros,
    /// To here it was in force.
    pub to: Micros,
    /// From here on both gateways answered again.
    pub healed: Option<Micros>,
    /// Why it could not be injected.
    pub failed: Option<String>,
}

/// What kind of entry the harness wrote itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WritingKind {
    /// To the request stream.
    Request,
    /// To a reply lane: a reply that no caller waits for.
    Reply,
    /// To a reply lane: an entry that is not a reply.
    Garbage,
    /// A rogue consumer was given this.
    Delivered,
}

/// An entry the harness wrote.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Writing {
    /// What kind.
    pub kind: WritingKind,
    /// The stream.
    pub stream: String,
    /// Its id there.
    pub entry: String,
    /// The correlation id in it, if any.
    pub id: Option<String>,
    /// When.
    pub at: Micros,
}

/// Resources in use at one moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Entries by stream.
    pub lengths: BTreeMap<String, u64>,
    /// `used_memory` of Redis.
    pub redis_bytes: u64,
    /// Resident memory by process.
    pub resident: BTreeMap<usize, u64>,
    /// Open descriptors by process.
    pub descriptors: BTreeMap<usize, u64>,
}

/// State of the system after the end of load and faults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Settled {
    /// From the end of load and faults until nothing was left over; `None`: never.
    pub after_ms: Option<u64>,
    /// The last look.
    pub last: String,
    /// What it took then.
    pub measured: Measured,
}

/// The history while it is written. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Recorder(Arc<Mutex<History>>);

impl Recorder {
    /// Adds to it or looks into it.
    pub fn with<T>(&self, use_it: impl FnOnce(&mut History) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// As it is now.
    pub fn snapshot(&self) -> History {
        self.with(|history| history.clone())
    }
}
