//! Declares the HTTP metrics of ingress: name, help, unit and labels.
//!
//! `streamgate` declares the metrics of the engine, `service::http` those of connections.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{
    Counter, Histogram, Recorder, Unit, counter, describe_counter, describe_histogram, histogram,
    with_local_recorder,
};
use streamgate::telemetry::declare_counter;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";

/// Answered requests by route and status.
pub struct HttpMetrics {
    /// Requests whose caller left before the answer.
    pub abandoned: Counter,
    /// Handles by route template and status. A handle is registered at its first use, so that later
    /// requests format no labels. Templates come from the route table, so their number is limited.
    series: RwLock<Map<String, Map<StatusCode, Series>>>,
    /// Registers new handles. It is not the global recorder: two instances in one process must not share
    /// metrics.
    recorder: Arc<dyn Recorder + Send + Sync>,
}

/// Every request looks up a key here. Callers cannot choose the keys, so a fast hash is safe.
type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

struct Series {
    requests: Counter,
    duration: Histogram,
}

impl HttpMetrics {
    /// Declares the metrics on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let abandoned = with_local_recorder(&recorder, || {
            describe_counter!(REQUESTS, "Requests answered, by route template and status");
            describe_histogram!(
                DURATION,
                Unit::Seconds,
                "Time from the head of a request to its answer, by route template and status"
            );
            declare_counter("http_requests_abandoned_total", "Requests whose caller left before the answer")
        });
        Self { abandoned, series: RwLock::default(), recorder }
    }

    /// Counts one answer of the route with the template `route`.
    pub fn answered(&self, route: &str, status: StatusCode, elapsed: Duration) {
        let known = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(route).and_then(|by_status| by_status.get(&status)) {
            return series.record(elapsed);
        }
        drop(known);
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let by_status = series.entry(route.to_owned()).or_default();
        by_status.entry(status).or_insert_with(|| self.register(route, status)).record(elapsed);
    }

    fn register(&self, route: &str, status: StatusCode) -> Series {
        let labels = [("route", route.to_owned()), ("status", status.as_u16().to_string())];
        with_local_recorder(&self.recorder, || Series {
            requests: counter!(REQUESTS, &labels),
            duration: histogram!(DURATION, &labels),
        })
    }
}

impl Series {
    fn record(&self, elapsed: Duration) {
        self.requests.increment(1);
        self.duration.record(elapsed.as_secs_f64());
    }
}
