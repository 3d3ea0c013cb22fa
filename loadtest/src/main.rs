//! `loadtest --url http://127.0.0.1:5009 --mode rate --rate 500 --duration 30s --deadline 2s`

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use loadtest::options::Refusal;
use loadtest::{EXIT_FAILURES, EXIT_INVALID, EXIT_OK, EXIT_UNAVAILABLE, Options, Output, Report, health};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    loadtest::install_tls();
    loadtest::raise_open_files();
    let options = match Options::read(std::env::args_os()) {
        Ok(options) => options,
        Err(Refusal::Help(text)) => {
            unless_closed(text.print())?;
            return Ok(EXIT_OK.into());
        }
        Err(Refusal::Invalid(message)) => {
            say(message);
            return Ok(EXIT_INVALID.into());
        }
    };
    let report = match loadtest::run(&options).await {
        Ok(report) => report,
        Err(error) if error.is::<health::Unavailable>() => {
            say(error);
            return Ok(EXIT_UNAVAILABLE.into());
        }
        Err(error) => return Err(error),
    };
    unless_closed(print(&report, options.output))?;
    Ok(if report.passed() { EXIT_OK } else { EXIT_FAILURES }.into())
}

fn print(report: &Report, output: Output) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match output {
        Output::Text => write!(stdout, "{report}")?,
        Output::Json => writeln!(stdout, "{}", serde_json::to_string_pretty(report)?)?,
    }
    stdout.flush()
}

/// Writes to standard error. If standard error is closed, the exit code still shows the result.
fn say(message: impl Display) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Ignores a closed output, as in `loadtest | head -1`: the load did not fail.
fn unless_closed(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
