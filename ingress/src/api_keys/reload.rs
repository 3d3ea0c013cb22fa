//! Takes over what changes in API_KEYS_FILE, without a restart.
//!
//! The file is read once a second and its keys are compared. Dates and inodes would save the
//! reading and miss changes: Kubernetes swaps symbolic links, network file systems cache what
//! they know about a file, and copies keep their dates.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::file::{self, Broken, KeyLine};
use super::{ApiKeys, Changes};

/// From one look at the file to the next.
const PERIOD: Duration = Duration::from_secs(1);

/// Watches the file of `keys` for as long as it is polled; without keys there is nothing to do.
pub async fn watch(keys: Option<Arc<ApiKeys>>) {
    let Some(keys) = keys else { return pending().await };
    let mut watcher = Watcher { keys, last: None };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let path = watcher.keys.path.clone();
        // A file system may hang; requests must not.
        if let Ok(found) = tokio::task::spawn_blocking(move || file::read(&path)).await {
            watcher.look(found);
        }
    }
}

struct Watcher {
    keys: Arc<ApiKeys>,
    /// What the look before found.
    last: Option<Result<Vec<KeyLine>, Broken>>,
}

impl Watcher {
    /// Says what is new, once.
    fn look(&mut self, found: Result<Vec<KeyLine>, Broken>) {
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
                "API_KEYS_FILE={file} {broken}: the keys it held before stay in force, changes in it do not count"
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
