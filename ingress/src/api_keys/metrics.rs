//! Metrics about API keys. The labels are the names of keys, never a key or a hash.

use std::sync::Arc;

use metrics::{Counter, Gauge, Recorder, counter, describe_counter, with_local_recorder};
use streamgate::telemetry::{declare_counter, declare_gauge};

const AUTHORIZED: &str = "http_requests_authorized_total";
const RATE_LIMITED: &str = "http_requests_rate_limited_total";
const TOO_MANY_WAITING: &str = "http_requests_too_many_waiting_total";

/// Metrics about API_KEYS_FILE and about requests without a valid key.
pub struct ApiKeyMetrics {
    /// The number of valid keys.
    pub keys: Gauge,
    /// Changes of the file that were applied.
    pub reloads: Counter,
    /// Reads of the file that found it missing or invalid.
    pub reload_failures: Counter,
    /// Requests without a key or with a wrong one.
    pub unauthorized: Counter,
    /// Requests whose key lacks a scope of the route.
    pub forbidden: Counter,
    /// Registers the series of new keys.
    recorder: Arc<dyn Recorder + Send + Sync>,
}

/// Metrics about one key.
pub struct KeyMetrics {
    /// Requests that were allowed.
    pub authorized: Counter,
    /// Requests refused because the key was over its rate limit.
    pub rate_limited: Counter,
    /// Requests refused because as many of the key waited as may.
    pub too_many_waiting: Counter,
}

impl ApiKeyMetrics {
    /// Declares the metrics on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let (keys, reloads, reload_failures, unauthorized, forbidden) = with_local_recorder(
            &recorder,
            || {
                describe_counter!(
                    AUTHORIZED,
                    "Requests with a valid API key within its rate limit, by key name"
                );
                describe_counter!(
                    RATE_LIMITED,
                    "Requests refused because their API key is over its rate limit, by key name"
                );
                describe_counter!(
                    TOO_MANY_WAITING,
                    "Requests refused because as many requests of their API key waited as may, by key name"
                );
                (
                    declare_gauge("api_keys", "Valid API keys"),
                    declare_counter("api_key_reloads_total", "Changes of API_KEYS_FILE that were applied"),
                    declare_counter(
                        "api_key_reload_failures_total",
                        "Reads of API_KEYS_FILE, one per second, that found it missing or invalid; the keys before stay valid",
                    ),
                    declare_counter(
                        "http_requests_unauthorized_total",
                        "Requests refused because they had no API key or a wrong one",
                    ),
                    declare_counter(
                        "http_requests_forbidden_total",
                        "Requests refused because their API key lacks a scope of the route",
                    ),
                )
            },
        );
        Self { keys, reloads, reload_failures, unauthorized, forbidden, recorder }
    }

    /// The metrics of the key called `name`.
    pub fn of(&self, name: &str) -> KeyMetrics {
        let label = [("key", name.to_owned())];
        with_local_recorder(&self.recorder, || KeyMetrics {
            authorized: counter!(AUTHORIZED, &label),
            rate_limited: counter!(RATE_LIMITED, &label),
            too_many_waiting: counter!(TOO_MANY_WAITING, &label),
        })
    }
}
