//! From a signal to a clean end: one token that everybody watches.
//!
//! The first SIGTERM or SIGINT asks the process to drain; a second one ends it at once. A process that
//! does not end by itself is ended. All this is done by a thread that needs neither the main runtime nor
//! a reader of the log, because a process where these hang must be stoppable too.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logs;

/// The exit code of a process ended by a second signal: 128 + SIGINT, as shells report it.
pub const IMPATIENT_EXIT: i32 = 130;

/// The exit code of a process that did not end by itself after a signal, as `timeout` reports it.
pub const OVERDUE_EXIT: i32 = 124;

/// How much longer than its grace a process may take: an ordered end fits into the grace, and this is
/// for a machine short of CPU time. `terminationGracePeriodSeconds` in k8s/ is 5 s above the grace.
const MARGIN: Duration = Duration::from_secs(3);

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at once
/// with [`IMPATIENT_EXIT`]. If the process still runs 3 s after its `grace`, counted from the first
/// signal, it ends with [`OVERDUE_EXIT`].
///
/// # Errors
/// The signal handlers or the thread could not be installed.
pub fn on_signal(grace: Duration) -> std::io::Result<CancellationToken> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _in_runtime = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let token = CancellationToken::new();
    let stop = token.clone();
    let watch = async move {
        let name = next(&mut terminate, &mut interrupt).await;
        stop.cancel();
        tracing::info!(signal = name, "shutting down; a second signal ends the process at once");
        tokio::select! {
            _ = next(&mut terminate, &mut interrupt) => {
                tracing::warn!("second signal: ending now without draining");
                end(IMPATIENT_EXIT)
            }
            () = tokio::time::sleep(grace + MARGIN) => {
                tracing::error!("the process did not end within SHUTDOWN_GRACE: ending now");
                end(OVERDUE_EXIT)
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(watch))?;
    Ok(token)
}

/// The name of the next signal.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Ends the process without its exit handlers: `std::process::exit` waits for ever if the main thread
/// hangs in one of them.
fn end(code: i32) -> ! {
    logs::flush_logs();
    signal_hook::low_level::exit(code)
}
