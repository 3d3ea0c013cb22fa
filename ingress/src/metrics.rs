//! What ingress counts, declared in one place: name, help, unit and labels.
//!
//! The engine's own metrics are declared in `streamgate::telemetry::metrics`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, Recorder, Unit, counter, describe_counter, describe_histogram, histogram,
    with_local_recorder,
};
use streamgate::telemetry::metrics::{declare_counter, declare_gauge};

use crate::router::Route;

const REQUESTS: &str = "http_requests_total";
const DURATION: &str = "http_request_duration_seconds";
/// Final HTTP statuses start here.
const FIRST_STATUS: usize = 200;
/// And end before this one.
const END_STATUS: usize = 600;

/// Answered requests by route and status.
pub struct HttpMetrics {
    /// Requests whose caller left before the answer.
    pub abandoned: Counter,
    /// One cell for each route and status, made when it is first needed, so that the hot path
    /// neither formats a label nor looks a metric up.
    series: Box<[OnceLock<Series>]>,
    /// Where new cells are registered: not the global recorder, so that two instances in one
    /// process do not mix.
    recorder: Arc<dyn Recorder + Send + Sync>,
}

struct Series {
    requests: Counter,
    duration: Histogram,
}

impl HttpMetrics {
    /// Declares them on `recorder`.
    pub fn declare(recorder: Arc<dyn Recorder + Send + Sync>) -> Self {
        let abandoned = with_local_recorder(&recorder, || {
            describe_counter!(REQUESTS, "Requests answered, by route template and status");
            describe_histogram!(
                DURATION,
                Unit::Seconds,
                "From the head of a request to its answer, by route template and status"
            );
            declare_counter("http_requests_abandoned_total", "Requests whose caller left before the answer")
        });
        let cells = Route::ALL.len() * (END_STATUS - FIRST_STATUS);
        Self { abandoned, series: (0..cells).map(|_| OnceLock::new()).collect(), recorder }
    }

    /// Counts one answer.
    pub fn answered(&self, route: Route, status: StatusCode, elapsed: Duration) {
        let series = self.series(route, status);
        series.requests.increment(1);
        series.duration.record(elapsed.as_secs_f64());
    }

    fn series(&self, route: Route, status: StatusCode) -> &Series {
        let column = usize::from(status.as_u16()).clamp(FIRST_STATUS, END_STATUS - 1) - FIRST_STATUS;
        let cell = &self.series[route as usize * (END_STATUS - FIRST_STATUS) + column];
        cell.get_or_init(|| {
            let labels = [("route", route.label().to_owned()), ("status", status.as_u16().to_string())];
            with_local_recorder(&self.recorder, || Series {
                requests: counter!(REQUESTS, &labels),
                duration: histogram!(DURATION, &labels),
            })
        })
    }
}

/// Connections of one listener.
#[derive(Clone)]
pub struct ConnectionMetrics {
    /// Open connections.
    pub open: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Failures to accept, such as too many open files.
    pub accept_errors: Counter,
    /// Connections closed because they idled or took too long to send a request.
    pub timed_out: Counter,
    /// How often accepting paused because as many connections were open as may be.
    pub limit_reached: Counter,
}

impl ConnectionMetrics {
    /// Declares them on the recorder in force.
    pub fn declare() -> Self {
        Self {
            open: declare_gauge("http_connections", "Open connections"),
            accepted: declare_counter("http_connections_accepted_total", "Connections accepted"),
            accept_errors: declare_counter(
                "http_accept_errors_total",
                "Failures to accept a connection, such as too many open files",
            ),
            timed_out: declare_counter(
                "http_connections_timed_out_total",
                "Connections closed because they idled or took too long to send a request",
            ),
            limit_reached: declare_counter(
                "http_connection_limit_reached_total",
                "How often accepting paused because MAX_CONNECTIONS were open",
            ),
        }
    }

    /// Counts nothing: for listeners nobody watches.
    pub fn noop() -> Self {
        Self {
            open: Gauge::noop(),
            accepted: Counter::noop(),
            accept_errors: Counter::noop(),
            timed_out: Counter::noop(),
            limit_reached: Counter::noop(),
        }
    }
}
