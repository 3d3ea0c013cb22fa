use std::fmt;

use metrics::Gauge;
use streamgate::resilience::{BreakerState, CircuitBreaker};

/// The circuit breakers of the weather service, for the health report and the metrics. Clones share all
/// state.
#[derive(Clone)]
pub struct UpstreamCircuits {
    geocoding: (CircuitBreaker, Gauge),
    forecast: (CircuitBreaker, Gauge),
}

impl UpstreamCircuits {
    /// Takes each breaker with the gauge that shows its state.
    pub(super) fn new(geocoding: (CircuitBreaker, Gauge), forecast: (CircuitBreaker, Gauge)) -> Self {
        let circuits = Self { geocoding, forecast };
        circuits.record();
        circuits
    }

    /// State of the circuit of geocoding.
    pub fn geocoding(&self) -> BreakerState {
        self.geocoding.0.state()
    }

    /// State of the circuit of forecasts.
    pub fn forecast(&self) -> BreakerState {
        self.forecast.0.state()
    }

    /// True while one of the circuits is open.
    pub fn any_open(&self) -> bool {
        [self.geocoding(), self.forecast()].contains(&BreakerState::Open)
    }

    /// Sets the gauges to the states that the next request would meet. Call it at each scrape: an open
    /// circuit becomes half open with time, without any event.
    pub fn record(&self) {
        for (breaker, gauge) in [&self.geocoding, &self.forecast] {
            gauge.set(breaker.state().gauge());
        }
    }
}

impl fmt::Debug for UpstreamCircuits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamCircuits")
            .field("geocoding", &self.geocoding())
            .field("forecast", &self.forecast())
            .finish()
    }
}
