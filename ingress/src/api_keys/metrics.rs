//! What is counted about keys: by their names, never by anything that could be used as one.

use std::sync::Arc;

use metrics::{Counter, Gauge, Recorder, counter, describe_counter, with_local_recorder};
use streamgate::telemetry::{declare_counter, declare_gauge};

const AUTHORIZED: &str = "http_requests_authorized_total";
const RATE_LIMITED: &str = "http_requests_rate_limited_total";

/// About the file and about those who have no key.
pub struct ApiKeyMetrics {
    /// Keys in force.
    pub keys: Gauge,
    /// Changes of the file that were taken over.
    pub reloads: Counter,
    /// Looks at the file that found it broken.
    pub reload_failures: Counter,
    /// Requests without a key or with a wrong one.
    pub unauthorized: Counter,
    /// Where the series of a new key are registered.
    recorder: Arc<dyn Recorder + Send + Sync>,
}

/// About one key.
pub struct KeyMetrics {
    /// Requests let through.
    pub authorized: Counter,
    /// Requests refused because there were too many.
    pub rate_limited: Counter,
}

impl ApiKeyMetrics {
    /// Declares them on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let (keys, reloads, reload_failures, unauthorized) = with_local_recorder(&recorder, || {
            describe_counter!(AUTHORIZED, "Requests with a valid API key within its rate limit, by key name");
            describe_counter!(
                RATE_LIMITED,
                "Requests refused because their API key is over its rate limit, by key name"
            );
            (
                declare_gauge("api_keys", "API keys in force"),
                declare_counter("api_key_reloads_total", "Changes of API_KEYS_FILE that were taken over"),
                declare_counter(
                    "api_key_reload_failures_total",
                    "Looks at API_KEYS_FILE, one a second, that found it broken; the keys before stay in force",
                ),
                declare_counter(
                    "http_requests_unauthorized_total",
                    "Requests refused because they had no API key or a wrong one",
                ),
            )
        });
        Self { keys, reloads, reload_failures, unauthorized, recorder }
    }

    /// Those of the key called `name`.
    pub fn of(&self, name: &str) -> KeyMetrics {
        let label = [("key", name.to_owned())];
        with_local_recorder(&self.recorder, || KeyMetrics {
            authorized: counter!(AUTHORIZED, &label),
            rate_limited: counter!(RATE_LIMITED, &label),
        })
    }
}
