use std::fmt;

use metrics::Gauge;
use streamgate::resilience::{BreakerState, CircuitBreaker};

/// The circuit breakers to the weather service, for those who show them. Clones share everything.
#[derive(Clone)]
pub struct UpstreamCircuits {
    geocoding: (CircuitBreaker, Gauge),
    forecast: (CircuitBreaker, Gauge),
}

impl UpstreamCircuits {
    /// Each breaker with its gauge, which shows it from now on.
    pub(super) fn new(geocoding: (CircuitBreaker, Gauge), forecast: (CircuitBreaker, Gauge)) -> Self {
        let circuits = Self { geocoding, forecast };
        circuits.record();
        circuits
    }

    /// Finding places by name.
    pub fn geocoding(&self) -> BreakerState {
        self.geocoding.0.state()
    }

    /// The weather at a place.
    pub fn forecast(&self) -> BreakerState {
        self.forecast.0.state()
    }

    /// True while one of them refuses requests without asking.
    pub fn any_open(&self) -> bool {
        [self.geocoding(), self.forecast()].contains(&BreakerState::Open)
    }

    /// Sets the gauges to what the next request would meet. An open circuit becomes half open
    /// with time alone, without a request; so the gauges are set at each scrape.
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
