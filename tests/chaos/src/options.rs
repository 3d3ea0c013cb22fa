//! The command line.

use std::path::PathBuf;

use clap::Parser;
use service::config::HumanDuration;

use crate::rogue::Plant;

/// Breaks everything around the gateway and checks that it keeps its promises.
///
/// Exits with 0 if all invariants hold. With --plant, exits with 0 if the invariant for the planted defect
/// reports a violation.
#[derive(Debug, Clone, Parser)]
#[command(name = "chaos")]
pub struct Options {
    /// Chooses load and faults; the same seed gives the same ones
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// How long to send load, a duration
    #[arg(long, default_value = "60s", value_name = "DURATION")]
    pub duration: HumanDuration,

    /// Calls a second
    #[arg(long, default_value_t = 150)]
    pub rate: u32,

    /// Plant a defect instead of injecting faults
    #[arg(long, value_enum)]
    pub plant: Option<Plant>,

    /// Inject no faults
    #[arg(long)]
    pub calm: bool,

    /// Run nothing: check the history.json of a run that was kept
    #[arg(long, value_name = "FILE")]
    pub check: Option<PathBuf>,

    /// Where ingress and chaos-proxy are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,

    /// Where to keep history and logs whatever the outcome [default: a temporary folder, kept only
    /// if something is wrong]
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}
