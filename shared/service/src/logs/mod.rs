//! Log lines on stderr: JSON or text, written by a thread of their own so that they never hold up work.

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
    /// For a person at a terminal.
    Pretty,
    /// One JSON object a line, for a collector.
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

/// How long an ending process waits for its last lines to be written: a log that is read takes them in
/// milliseconds, and one that is not must not hold up the end.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Waits, when dropped, until the last lines are written, but not for long if nobody reads them. It
/// belongs in `main`, before everything that may log.
#[derive(Debug)]
#[must_use = "dropped at once, it leaves the last lines of the process to chance"]
pub struct LastLines(());

impl Drop for LastLines {
    fn drop(&mut self) {
        flush_logs();
    }
}

/// Starts logging to standard error, by a thread of its own: a log that nobody reads costs lines, never
/// time. A second call in the same process changes nothing.
pub fn init_logs(format: LogFormat, filter: &LogFilter) -> LastLines {
    let writer = match start() {
        Ok(()) => BoxMakeWriter::new(|| Line),
        // No thread is left: a log that may block is better than none.
        Err(_) => BoxMakeWriter::new(std::io::stderr),
    };
    let registry = tracing_subscriber::registry().with(EnvFilter::new(&filter.0));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // They would be written to standard error past the queue.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match format {
        LogFormat::Pretty => registry.with(lines.with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    LastLines(())
}

/// Writes a message to standard error, for a process that ends before it logs. If nobody reads it, the
/// message is lost and the process can end all the same.
pub fn print_error(message: impl Display) {
    if start().is_ok() {
        STDERR.push(format!("{message}\n").as_bytes());
        flush_logs();
    }
}

/// Waits until all lines are written, but not for long.
pub(crate) fn flush_logs() {
    STDERR.flush(LAST_LINES);
}

/// How many log lines this process has dropped because nobody took them.
pub(super) fn dropped_lines() -> u64 {
    STDERR.dropped()
}

fn start() -> std::io::Result<()> {
    STDERR.start(std::io::stderr(), |lines| {
        tracing::warn!(lines, "log lines were dropped: the log was not read fast enough");
    })
}
