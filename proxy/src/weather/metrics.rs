//! The metrics of the weather service.

use metrics::{Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, gauge, histogram};

/// Requests to the weather service, by endpoint.
#[derive(Clone)]
pub struct UpstreamMetrics {
    /// The endpoint that finds places by name.
    pub geocoding: EndpointMetrics,
    /// The endpoint of the weather at a place.
    pub forecast: EndpointMetrics,
}

/// One endpoint of the weather service; every metric carries the label `endpoint`.
#[derive(Clone)]
pub struct EndpointMetrics {
    /// Tries with a valid answer, label `outcome="success"`.
    pub success: Counter,
    /// Tries the service refused (4xx except 429), `outcome="refused"`.
    pub refused: Counter,
    /// Tries without a connection or with the answer 429 or 5xx, `outcome="failed"`.
    pub failed: Counter,
    /// Tries that took too long, `outcome="timed_out"`.
    pub timed_out: Counter,
    /// Tries whose answer is not valid, `outcome="bad_answer"`.
    pub bad_answer: Counter,
    /// Calls not made because the circuit is open, `outcome="circuit_open"`.
    pub circuit_open: Counter,
    /// Calls not made because of this process's own rate limit, `outcome="rate_limited"`.
    pub rate_limited: Counter,
    /// Time from sending a try to the end of its answer.
    pub duration: Histogram,
    /// Tries after the first of a call.
    pub retries: Counter,
    /// Answers found in the cache.
    pub cache_hits: Counter,
    /// Answers fetched because the cache did not have them.
    pub cache_misses: Counter,
    /// 0 closed, 1 half open, 2 open; set by [`super::UpstreamCircuits::record`].
    pub circuit_state: Gauge,
}

impl UpstreamMetrics {
    /// Declares them on the current recorder.
    pub fn declare() -> Self {
        describe_counter!(REQUESTS, "Tries to get an answer from the weather service, by outcome");
        metrics::describe_histogram!(
            DURATION,
            Unit::Seconds,
            "From sending a request to the weather service to the end of its answer"
        );
        describe_counter!(RETRIES, "Requests sent to the weather service again after a failure");
        describe_counter!(CACHE_HITS, "Answers of the weather service found in the cache");
        describe_counter!(CACHE_MISSES, "Answers of the weather service fetched because no cache had them");
        describe_gauge!(
            CIRCUIT_STATE,
            "State of the circuit breaker to the weather service: 0 closed, 1 half open, 2 open"
        );
        Self { geocoding: EndpointMetrics::of("geocoding"), forecast: EndpointMetrics::of("forecast") }
    }
}

const REQUESTS: &str = "weather_upstream_requests_total";
const DURATION: &str = "weather_upstream_duration_seconds";
const RETRIES: &str = "weather_upstream_retries_total";
const CACHE_HITS: &str = "weather_upstream_cache_hits_total";
const CACHE_MISSES: &str = "weather_upstream_cache_misses_total";
const CIRCUIT_STATE: &str = "weather_upstream_circuit_state";

impl EndpointMetrics {
    fn of(endpoint: &'static str) -> Self {
        let requests =
            |outcome: &'static str| counter!(REQUESTS, "endpoint" => endpoint, "outcome" => outcome);
        Self {
            success: requests("success"),
            refused: requests("refused"),
            failed: requests("failed"),
            timed_out: requests("timed_out"),
            bad_answer: requests("bad_answer"),
            circuit_open: requests("circuit_open"),
            rate_limited: requests("rate_limited"),
            duration: histogram!(DURATION, "endpoint" => endpoint),
            retries: counter!(RETRIES, "endpoint" => endpoint),
            cache_hits: counter!(CACHE_HITS, "endpoint" => endpoint),
            cache_misses: counter!(CACHE_MISSES, "endpoint" => endpoint),
            circuit_state: gauge!(CIRCUIT_STATE, "endpoint" => endpoint),
        }
    }
}
