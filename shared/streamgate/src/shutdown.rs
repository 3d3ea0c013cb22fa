//! From a signal to a clean end: one token that everybody watches.
//!
//! The first SIGTERM or SIGINT asks the process to drain; a second one ends it at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process ended by a second signal: 128 + SIGINT, as shells report it.
pub const IMPATIENT_EXIT: i32 = 130;

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process
/// at once with [`IMPATIENT_EXIT`].
///
/// # Errors
/// The signal handlers could not be installed.
pub fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let token = CancellationToken::new();
    let stop = token.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
        stop.cancel();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: ending now without draining");
        std::process::exit(IMPATIENT_EXIT);
    });
    Ok(token)
}
