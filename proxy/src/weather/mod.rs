//! The work: from a request for the weather to a forecast.
//!
//! Read in this order: [`WeatherHandler`] (a request in, a response out) asks a
//! [`WeatherProvider`]. [`Simulated`] is the one that runs by default and needs nothing;
//! [`OpenMeteo`] asks a real service, politely. [`Provider`] is whichever was configured.

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
