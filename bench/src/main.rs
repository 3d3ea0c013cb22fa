//! The benchmarks: measures what it is asked to, writes what it has seen.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use bench::experiments::{Outcome, compare, judge, try_out};
use bench::instructions;
use bench::name::{Experiment, Name, Trial};
use bench::options::{Command, Options, Places, RunOptions};
use bench::report;
use clap::{Parser, ValueEnum};
use service::process;
use service::shutdown;

/// Longest time from a signal to the end.
const GRACE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = match &options.command {
        Some(Command::Report(places)) => report_again(places),
        Some(Command::Instructions(places)) => instructions::write(places),
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
    let comparisons = Name::value_variants().iter().map(|name| Experiment::Comparison(*name));
    let chosen = if options.only.is_empty() { comparisons.collect() } else { options.only.clone() };
    let mut missed = Vec::new();
    for experiment in &chosen {
        let started = Instant::now();
        match experiment {
            Experiment::Comparison(name) => {
                println!("{}", name.text());
                compare(*name, options).await?.save(&options.places.results)?;
            }
            Experiment::Trial(trial) => {
                println!("{}", trial.text());
                try_out(*trial, options).await?;
                let outcome = judge(*trial, &options.places)?;
                missed.extend(told(*trial, outcome, &options.places, !options.no_write)?);
            }
        }
        println!("  took {:.0} s", started.elapsed().as_secs_f64());
    }
    if !options.no_write && chosen.iter().any(|it| matches!(it, Experiment::Comparison(_))) {
        report::write(&options.places)?;
    }
    verdict(&missed)
}

/// Tables, plots and verdicts once more.
fn report_again(places: &Places) -> anyhow::Result<()> {
    let mut some = report::write(places)?;
    let mut missed = Vec::new();
    for trial in Trial::value_variants() {
        let outcome = judge(*trial, places)?;
        some |= outcome.is_some();
        missed.extend(told(*trial, outcome, places, true)?);
    }
    anyhow::ensure!(some, "{} holds no results: run make bench", places.results.display());
    verdict(&missed)
}

/// Shows and writes what a trial has seen; returns the bounds that were missed.
fn told(trial: Trial, outcome: Option<Outcome>, places: &Places, write: bool) -> anyhow::Result<Vec<String>> {
    let Some(outcome) = outcome else { return Ok(Vec::new()) };
    println!("\n{}", outcome.table);
    for sentence in &outcome.missed {
        println!("missed: {sentence}");
    }
    if write {
        outcome.write(trial, places)?;
    }
    Ok(outcome.missed)
}

fn verdict(missed: &[String]) -> anyhow::Result<()> {
    anyhow::ensure!(missed.is_empty(), "bounds that were missed: {}", missed.len());
    Ok(())
}
