//! The fault harness; see the library.

use std::process::ExitCode;

use chaos::options::Options;
use chaos::run::run;
use clap::Parser;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(report) => {
            println!("{report}");
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("chaos could not run: {error:#}");
            ExitCode::from(2)
        }
    }
}
