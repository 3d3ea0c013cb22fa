//! The frame of a process: its runtime and its exit code.

use std::fmt::Display;
use std::process::ExitCode;

use tokio::runtime::{Builder, Runtime};

/// A runtime on `threads` threads. One has no wake-ups across cores, which halve the latency of a
/// lone request; more carry more requests.
///
/// # Errors
/// The system refuses a thread or a poller.
pub fn runtime(threads: usize) -> std::io::Result<Runtime> {
    match threads {
        0 | 1 => Builder::new_current_thread().enable_all().build(),
        threads => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
    }
}

/// Panics go to the log like everything else, instead of breaking into its lines.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "a panic");
    }));
}

/// 0, or 1 with the error in the log.
pub fn exit_code<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The alternate form of anyhow's errors is the whole chain in one line.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
