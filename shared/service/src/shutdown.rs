//! Turns signals into one shutdown token that all tasks of the process watch.
//!
//! The first SIGTERM or SIGINT asks the process to drain. A second one ends the process at once. A
//! process that does not end in time is ended. A separate thread does all this: it must work even if
//! the main runtime hangs or the log is not read.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::logs;

/// The exit code after a second signal: 128 + SIGINT, as shells report it.
pub const IMPATIENT_EXIT: i32 = 130;

/// The exit code of a process that did not end in time after a signal; `timeout` uses the same code.
pub const OVERDUE_EXIT: i32 = 124;

/// How much longer than its grace a process may take. A normal shutdown fits into the grace; the
/// margin is for a machine that is short of CPU time. `terminationGracePeriodSeconds` in k8s/ is 5 s
/// longer than the grace.
const MARGIN: Duration = Duration::from_secs(3);

/// A token that is cancelled by the first SIGTERM or SIGINT. A second signal ends the process at once
/// with [`IMPATIENT_EXIT`]. If the process still runs 3 s after its `grace`, counted from the first
/// signal, it ends with [`OVERDUE_EXIT`].
///
/// # Errors
/// The system refuses the signal handlers or the thread.
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

/// Waits for the next signal and returns its name.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Ends the process without running its exit handlers: if the main thread hangs in one of them,
/// `std::process::exit` would wait for ever.
fn end(code: i32) -> ! {
    logs::flush_logs();
    signal_hook::low_level::exit(code)
}
