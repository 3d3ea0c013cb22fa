//! Applies changes of API_KEYS_FILE without a restart.
//!
//! Once per second the file is read and its keys are compared. Comparing dates and inodes would be
//! cheaper but would miss changes: Kubernetes swaps symbolic links, network file systems cache the
//! metadata of a file, and a copied file may keep its date.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::file::{self, Broken, KeyLine};
use super::{ApiKeys, Changes};

/// The time between two reads of the file.
const PERIOD: Duration = Duration::from_secs(1);

/// Watches the file of `keys` for ever. Without keys it does nothing.
pub async fn watch(keys: Option<Arc<ApiKeys>>) {
    let Some(keys) = keys else { return pending().await };
    let mut watcher = Watcher { keys, last: None };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let path = watcher.keys.path.clone();
        // A file system may hang, which must not block the runtime.
        if let Ok(found) = tokio::task::spawn_blocking(move || file::read(&path)).await {
            watcher.apply(found);
        }
    }
}

struct Watcher {
    keys: Arc<ApiKeys>,
    /// The result of the read before.
    last: Option<Result<Vec<KeyLine>, Broken>>,
}

impl Watcher {
    /// Applies and logs the result of a read, if it differs from the result before.
    fn apply(&mut self, found: Result<Vec<KeyLine>, Broken>) {
        let metrics = &self.keys.metrics;
        if found.is_err() {
            metrics.reload_failures.increment(1);
        }
        if self.last.as_ref() == Some(&found) {
            return;
        }
        let file = self.keys.path.display();
        match &found {
            Err(broken) => tracing::error!(
                "API_KEYS_FILE={file} {broken}: the keys before stay valid until the file is correct"
            ),
            Ok(lines) => {
                let changes = self.keys.replace(lines.clone());
                let Changes { added, removed } = changes;
                if changes != Changes::default() {
                    metrics.reloads.increment(1);
                    tracing::info!(%file, keys = lines.len(), added, removed, "API keys reloaded");
                } else if matches!(self.last, Some(Err(_))) {
                    tracing::info!(%file, keys = lines.len(), "the file of API keys is valid again");
                }
            }
        }
        self.last = Some(found);
    }
}
