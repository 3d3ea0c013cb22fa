//! Puts other routes in force when ROUTES_FILE has changed: once a second, and at once after SIGHUP. All or nothing: a
//! file with a fault changes nothing.

use std::future::pending;
use std::sync::Arc;

use ::routes::Watch;
use ::routes::watch::PERIOD;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::Serving;

/// Watches the file for ever. Without a file it does nothing.
pub async fn watch(serving: Arc<Serving>, file: Option<Arc<Watch>>) {
    let Some(file) = file else { return pending().await };
    let mut changes = file.subscribe();
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hang_up = match signal(SignalKind::hangup()) {
        Ok(hang_up) => Some(hang_up),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be handled; the routes are reloaded once a second anyway");
            None
        }
    };
    // Faults that only this process knows of, such as missing API keys.
    let mut refused = 0;
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            Some(()) = async { hang_up.as_mut()?.recv().await } => true,
        };
        let look = Arc::clone(&file);
        // A file system may hang, which must not block the runtime.
        let _ = tokio::task::spawn_blocking(move || if asked { look.reload() } else { look.look() }).await;
        let changed = changes.has_changed().unwrap_or(false);
        if changed || serving.lacks_a_priority() {
            let routes = Arc::clone(&changes.borrow_and_update());
            match serving.replace(routes).await {
                Ok(()) if changed => serving.parts.metrics.reloads.increment(1),
                Ok(()) => {}
                Err(rule) => {
                    refused += 1;
                    tracing::error!("ROUTES_FILE {rule}; the routes before stay in force");
                }
            }
        }
        serving.parts.metrics.reload_failures.absolute(file.failures() + refused);
    }
}
