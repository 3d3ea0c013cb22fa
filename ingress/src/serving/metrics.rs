//! Declares the metrics about the routes file.

use std::sync::{Arc, Mutex, PoisonError};

use metrics::{
    Counter, Gauge, Recorder, counter, describe_counter, describe_gauge, gauge, with_local_recorder,
};
use streamgate::telemetry::declare_counter;

const VERSION: &str = "routes_version";
const BAD_REPLIES: &str = "http_replies_off_schema_total";

/// Metrics about the routes file.
pub struct ServingMetrics {
    /// Looks at the file that found a fault.
    pub reload_failures: Counter,
    /// Changes of the file that were put in force.
    pub reloads: Counter,
    /// The series of the version that is in force.
    version: Mutex<Option<Gauge>>,
    /// Registers the series of new versions and routes.
    recorder: Arc<dyn Recorder + Send + Sync>,
}

impl ServingMetrics {
    /// Declares the metrics on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let (reload_failures, reloads) = with_local_recorder(&recorder, || {
            describe_gauge!(VERSION, "1 for the version of the routes in force (a hash of the file), else 0");
            describe_counter!(BAD_REPLIES, "Replies that break the schema of their route, by route");
            (
                declare_counter(
                    "routes_reload_failures_total",
                    "Looks at ROUTES_FILE, one per second, that found a fault; the routes before stay in force",
                ),
                declare_counter("routes_reloads_total", "Changes of ROUTES_FILE that were put in force"),
            )
        });
        Self { reload_failures, reloads, version: Mutex::default(), recorder }
    }

    /// The routes of this version are in force now.
    pub fn in_force(&self, version: &str) {
        let label = [("version", version.to_owned())];
        let now = with_local_recorder(&self.recorder, || gauge!(VERSION, &label));
        let mut current = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = current.take() {
            before.set(0.0);
        }
        now.set(1.0);
        *current = Some(now);
    }

    /// The counter of replies that break the schema of the route with this id.
    pub fn bad_replies(&self, route: &str) -> Counter {
        let label = [("route", route.to_owned())];
        with_local_recorder(&self.recorder, || counter!(BAD_REPLIES, &label))
    }
}
