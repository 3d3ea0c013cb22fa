//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::name::Experiment;

/// Measures the gateway against a direct handler, against NATS and against the raw Redis cycle, and
/// writes tables and plots into docs
///
/// overload, durability, load-generator, streams and chat have bounds; the exit code is 1 if one is missed.
/// events measures examples/events.
///
/// All other experiments take about 13 minutes with 11 rounds of 1 s. Many short rounds tell two targets apart
/// better than few long ones: what disturbs the machine for some seconds meets all of them.
#[derive(Debug, Parser)]
#[command(name = "bench", version, args_override_self = true)]
pub struct Options {
    /// What else to do
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to measure
    #[command(flatten)]
    pub run: RunOptions,
}

/// What is done instead of measuring.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Write tables and plots again, from the results that are there; judge the trials among them
    Report(Places),
    /// Count the instructions of each step of the hot path with callgrind
    Instructions(Places),
}

/// How to measure.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Experiments to run, with commas between [default: all but those with bounds]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<Experiment>,

    /// How often each measurement is made, in turns with the others
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,

    /// How long each measurement takes, in seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,

    /// Kills in each setting (durability)
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub kills: u32,

    /// Entries that are appended and consumed (streams)
    #[arg(long, default_value_t = 1_000_000, value_parser = entries)]
    pub entries: usize,

    /// The most clients (chat); a hundredth and a tenth of them come before
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub clients: u32,

    /// A folder on the disk to measure (durability) [default: the temporary folder]
    #[arg(long, value_name = "FOLDER")]
    pub data: Option<PathBuf>,

    /// Keep rounds in which other processes were busy, and say so above the tables
    #[arg(long)]
    pub allow_noise: bool,

    /// Measure only: leave the documents alone
    #[arg(long)]
    pub no_write: bool,

    /// Where ingress, proxy and loadtest are [default: where this program is]
    #[arg(long, default_value_os_t = own_folder(), hide_default_value = true)]
    pub bin_dir: PathBuf,

    /// Where another build of ingress and proxy is, to be measured in turns with this one
    /// (concurrency and one-core)
    #[arg(long, value_name = "FOLDER")]
    pub baseline: Option<PathBuf>,

    /// A setting of every ingress, such as INGRESS_THREADS=2; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub ingress: Vec<Setting>,

    /// A setting of every proxy, such as PROXY_THREADS=2; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    pub proxy: Vec<Setting>,

    /// The Redis server to start
    #[arg(long, env = "BENCH_REDIS_SERVER", default_value = "redis-server", value_name = "PROGRAM")]
    pub redis_server: PathBuf,

    /// The NATS server to start
    #[arg(long, env = "BENCH_NATS_SERVER", default_value = "nats-server", value_name = "PROGRAM")]
    pub nats_server: PathBuf,

    /// The wrk to load with
    #[arg(long, env = "BENCH_WRK", default_value = "wrk", value_name = "PROGRAM")]
    pub wrk: PathBuf,

    /// Where things are written
    #[command(flatten)]
    pub places: Places,
}

/// Where things are written.
#[derive(Debug, Clone, Args)]
pub struct Places {
    /// Folder of the results, a JSON file for each experiment
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    pub results: PathBuf,

    /// Folder of PERFORMANCE.md and OPERATIONS.md, whose tables are replaced, and of the plots (img)
    #[arg(long, default_value = "docs", value_name = "FOLDER")]
    pub docs: PathBuf,
}

/// Name and value of an environment variable.
pub type Setting = (String, String);

fn entries(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|error| format!("{error}"))?;
    if (1_000..=100_000_000).contains(&number) {
        Ok(number)
    } else {
        Err("must be 1000 to 100000000".to_owned())
    }
}

fn setting(text: &str) -> Result<Setting, String> {
    let parts = text.split_once('=').ok_or("needs the form NAME=VALUE")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}

/// Where this program is.
pub fn own_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.parent().map(Into::into).unwrap_or_default()
}
