//! `loadtest --url http://127.0.0.1:5009 --mode concurrent --count 1000 --concurrency 50`

use std::process::ExitCode;

use loadtest::options::Refusal;
use loadtest::{EXIT_FAILURES, EXIT_INVALID, EXIT_OK, EXIT_UNAVAILABLE, Options, Output, Report, health};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    loadtest::install_tls();
    let options = match Options::read(std::env::args_os()) {
        Ok(options) => options,
        Err(Refusal::Help(text)) => {
            text.print()?;
            return Ok(EXIT_OK.into());
        }
        Err(Refusal::Invalid(message)) => {
            eprintln!("{message}");
            return Ok(EXIT_INVALID.into());
        }
    };
    let report = match loadtest::run(&options).await {
        Ok(report) => report,
        Err(error) if error.is::<health::Unavailable>() => {
            eprintln!("{error}");
            return Ok(EXIT_UNAVAILABLE.into());
        }
        Err(error) => return Err(error),
    };
    print(&report, options.output)?;
    Ok(if report.failed == 0 { EXIT_OK } else { EXIT_FAILURES }.into())
}

fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => print!("{report}"),
        Output::Json => println!("{}", serde_json::to_string_pretty(report)?),
    }
    Ok(())
}
