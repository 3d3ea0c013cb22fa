//! The runtime of a process, its panic hook and its exit code.

use std::fmt::Display;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

/// A runtime on `threads` threads. With one thread, no task is woken on another core. That halves the
/// latency of a single request. More threads serve more requests per second.
///
/// # Errors
/// The system refuses to create a thread or an event queue.
pub fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

/// Writes panics to the log. The default hook would write them to standard error, in the middle of
/// a log line.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "panicked");
    }));
}

/// Returns 0 for `Ok`. For an error, logs the error and returns 1.
pub fn exit_code<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // With `#`, anyhow writes the whole chain of causes in one line.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
