//! The benchmarks: measures what it is asked to, writes what it has seen.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use bench::experiments::Name;
use bench::options::{Command, Options, RunOptions};
use bench::report;
use clap::{Parser, ValueEnum};
use service::process;
use service::shutdown;

/// Longest time from a signal to the end.
const GRACE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match &options.command {
        Some(Command::Report(places)) => report::write(places),
        None => {
            process::runtime(1).map_err(Into::into).and_then(|runtime| runtime.block_on(run(&options.run)))
        }
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Until done, or told to stop: then everything that was started ends with it.
async fn run(options: &RunOptions) -> anyhow::Result<()> {
    let stop = shutdown::on_signal(GRACE)?;
    tokio::select! {
        ended = measure(options) => ended,
        () = stop.cancelled() => anyhow::bail!("stopped; results of finished experiments are kept"),
    }
}

async fn measure(options: &RunOptions) -> anyhow::Result<()> {
    let chosen = if options.only.is_empty() { Name::value_variants() } else { &options.only };
    for name in chosen {
        let started = Instant::now();
        println!("{}", name.text());
        name.run(options).await?.save(&options.places.results)?;
        println!("  took {:.0} s", started.elapsed().as_secs_f64());
    }
    if !options.no_write {
        report::write(&options.places)?;
    }
    Ok(())
}
