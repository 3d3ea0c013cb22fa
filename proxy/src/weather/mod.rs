//! The work: from a request for the weather to a forecast.
//!
//! Read in this order: [`WeatherHandler`] takes a request, asks a [`WeatherProvider`] and returns a
//! response. [`Simulated`] is the default provider and needs no network. [`OpenMeteo`] calls a real
//! service within its limits. [`Provider`] is one of the two, as configured.

mod circuits;
mod handler;
pub mod metrics;
pub mod open_meteo;
mod places;
mod provider;
mod simulated;

pub use circuits::UpstreamCircuits;
pub use handler::WeatherHandler;
pub use metrics::UpstreamMetrics;
pub use open_meteo::{OpenMeteo, OpenMeteoSettings};
pub use provider::{Provider, ProviderError, Weather, WeatherProvider};
pub use simulated::Simulated;
