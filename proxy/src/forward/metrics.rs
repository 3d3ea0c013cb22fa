use metrics::{Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, gauge, histogram};

/// Requests to one upstream; every metric carries the label `upstream`.
#[derive(Clone)]
pub struct ForwardMetrics {
    /// Tries with an answer below 500, `outcome="answered"`.
    pub answered: Counter,
    /// Tries with an answer from 500 on, `outcome="failed"`.
    pub failed: Counter,
    /// Tries that ended before a byte was sent, `outcome="unreachable"`.
    pub unreachable: Counter,
    /// Tries that were sent and got no whole answer, `outcome="no_answer"`.
    pub no_answer: Counter,
    /// Tries whose answer was too large, `outcome="too_large"`.
    pub too_large: Counter,
    /// Time from sending a try to the end of its answer.
    pub duration: Histogram,
    /// Tries after the first of a delivery.
    pub retries: Counter,
    /// Requests given back to their group because the upstream could not be asked.
    pub handed_back: Counter,
    /// Requests that proxy holds for the upstream.
    pub in_flight: Gauge,
    /// 0 closed, 1 half open, 2 open.
    pub circuit_state: Gauge,
}

const REQUESTS: &str = "streamgate_upstream_requests_total";
const DURATION: &str = "streamgate_upstream_duration_seconds";
const RETRIES: &str = "streamgate_upstream_retries_total";
const HANDED_BACK: &str = "streamgate_upstream_handed_back_total";
const IN_FLIGHT: &str = "streamgate_upstream_in_flight";
const CIRCUIT_STATE: &str = "streamgate_upstream_circuit_state";

impl ForwardMetrics {
    /// Declares those of `upstream` on the current recorder.
    pub fn declare(upstream: &str) -> Self {
        describe_counter!(REQUESTS, "Tries to get an answer from an upstream, by upstream and outcome");
        metrics::describe_histogram!(
            DURATION,
            Unit::Seconds,
            "From sending a request to an upstream to the end of its answer, by upstream"
        );
        describe_counter!(RETRIES, "Requests sent to an upstream again after a failure, by upstream");
        describe_counter!(
            HANDED_BACK,
            "Requests given back to the stream because their upstream could not be asked, by upstream"
        );
        describe_gauge!(IN_FLIGHT, "Requests that this process holds for an upstream, by upstream");
        describe_gauge!(
            CIRCUIT_STATE,
            "State of the circuit breaker to an upstream: 0 closed, 1 half open, 2 open (its streams are paused)"
        );
        let label = || upstream.to_owned();
        let requests =
            |outcome: &'static str| counter!(REQUESTS, "upstream" => label(), "outcome" => outcome);
        Self {
            answered: requests("answered"),
            failed: requests("failed"),
            unreachable: requests("unreachable"),
            no_answer: requests("no_answer"),
            too_large: requests("too_large"),
            duration: histogram!(DURATION, "upstream" => label()),
            retries: counter!(RETRIES, "upstream" => label()),
            handed_back: counter!(HANDED_BACK, "upstream" => label()),
            in_flight: gauge!(IN_FLIGHT, "upstream" => label()),
            circuit_state: gauge!(CIRCUIT_STATE, "upstream" => label()),
        }
    }
}
