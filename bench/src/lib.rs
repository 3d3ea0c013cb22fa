//! What the durable stream costs: the gateway measured against a direct handler, against NATS and
//! against the raw Redis cycle, in one run, in turns.
//!
//! In reading order:
//!
//! | Module | What it does |
//! |---|---|
//! | [`name`] | what can be asked for: comparisons and trials |
//! | [`options`] | the command line |
//! | [`peer`] | what the peers share: HTTP front, work, wire; the peers themselves are in `src/bin` |
//! | [`lab`] | starts and pins processes, loads them with wrk, reads /proc, refuses noise |
//! | [`experiments`] | what is compared with what, a file each; trials with bounds, a folder each |
//! | [`results`] | samples, as JSON in between |
//! | [`report`] | tables of ratios, plots, aims: into docs/PERFORMANCE.md |
//! | [`instructions`] | counts the instructions of each step of the hot path |
//! | [`document`] | puts a table between its markers in a document |
//!
//! Absolute numbers belong to one machine and one run; a ratio of two targets that were measured in
//! turns holds elsewhere, too. That is why every comparison here is made round by round.

pub mod document;
pub mod experiments;
pub mod instructions;
pub mod lab;
mod markdown;
pub mod name;
pub mod options;
pub mod peer;
pub mod report;
pub mod results;
