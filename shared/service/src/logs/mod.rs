//! Log lines on standard error, as JSON or text. A separate thread writes them, so that logging never
//! blocks a request.

mod queue;

use std::fmt::Display;
use std::io::IsTerminal;
use std::str::FromStr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use self::queue::{Line, STDERR};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for a person at a terminal.
    Pretty,
    /// One JSON object per line, for a collector.
    Json,
}

/// Which log lines are written: `info`, or `warn,streamgate=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl FromStr for LogFilter {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err("must be levels by module, such as info or warn,streamgate=debug"),
        }
    }
}

/// How long an ending process waits until its last lines are written. If the log is read, that takes
/// milliseconds. If it is not read, it must not delay the end.
const LAST_LINES: Duration = Duration::from_millis(500);

/// When dropped, waits until the last lines are written, at most 500 ms. Create it in `main` before
/// everything that may log.
#[derive(Debug)]
#[must_use = "if it is dropped at once, the last lines of the process may be lost"]
pub struct LastLines(());

impl Drop for LastLines {
    fn drop(&mut self) {
        flush_logs();
    }
}

/// Starts logging to standard error from a separate thread. If the log is not read, lines are lost but
/// no caller waits. A second call in the same process changes nothing.
pub fn init_logs(format: LogFormat, filter: &LogFilter) -> LastLines {
    let writer = match start() {
        Ok(()) => BoxMakeWriter::new(|| Line),
        // If the thread cannot start, a log that may block is better than none.
        Err(_) => BoxMakeWriter::new(std::io::stderr),
    };
    let registry = tracing_subscriber::registry().with(EnvFilter::new(&filter.0));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // They would bypass the queue and could block.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match format {
        LogFormat::Pretty => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    LastLines(())
}

/// Writes a message to standard error, for a process that ends before logging starts. If standard error
/// is not read, the message is lost, but the process can still end.
pub fn print_error(message: impl Display) {
    if start().is_ok() {
        STDERR.push(format!("{message}\n").as_bytes());
        flush_logs();
    }
}

/// Waits until all lines are written, at most [`LAST_LINES`].
pub(crate) fn flush_logs() {
    STDERR.flush(LAST_LINES);
}

/// How many log lines this process has dropped because the log was not read fast enough.
pub(super) fn dropped_lines() -> u64 {
    STDERR.dropped()
}

fn start() -> std::io::Result<()> {
    STDERR.start(std::io::stderr(), |lines| {
        tracing::warn!(lines, "log lines were dropped: the log was not read fast enough");
    })
}
