//! Fault harness: checks that the gateway keeps its promises while the parts around it fail.
//!
//! It starts real processes (two gateways, three workers, Redis with its append-only file), sends a
//! seeded load, injects a seeded schedule of faults, heals, and then looks at everything that was
//! seen, in the manner of Jepsen's total queue. In reading order:
//!
//! | Module | What it does |
//! |---|---|
//! | [`schedule`] | seed → which fault, when, on which target, for how long |
//! | [`setup`] | names and settings of the system under test |
//! | [`load`] | seed → requests; an open loop of clients |
//! | [`cluster`] | the system under test, and a supervisor that restarts ended processes |
//! | [`faults`] | each fault: inflict, undo |
//! | [`observe`] | MONITOR, streams, logs, metrics, `/proc` |
//! | [`history`] | everything that was seen, as data |
//! | [`checker`] | the promises: pure functions over the history |
//! | [`rogue`] | broken workers, planted to prove that the checker can fail |
//! | [`report`] | the table |
//! | [`run`] | puts them together |
//!
//! Nothing here is in the product. The workers are `chaos-proxy`: the proxy's library with a
//! handler that breaks for two places.

pub mod checker;
pub mod cluster;
pub mod faults;
pub mod history;
pub mod load;
pub mod observe;
pub mod options;
pub mod report;
pub mod rogue;
pub mod run;
pub mod schedule;
pub mod setup;

/// The city whose handler panics.
pub const POISON_PANIC: &str = "Poison Panic";

/// The city whose handler ends the process.
pub const POISON_ABORT: &str = "Poison Abort";

/// What the planted panic says.
pub const PLANTED_PANIC: &str = "planted by the fault harness";
