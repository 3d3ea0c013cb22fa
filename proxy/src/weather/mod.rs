//! The work: from a request for the weather to a forecast.
//!
//! Read in this order: [`WeatherHandler`] (a request in, a response out) asks a
//! [`WeatherProvider`]. [`Simulated`] is the one that runs by default and needs nothing.

mod handler;
mod places;
mod provider;
mod simulated;

pub use handler::WeatherHandler;
pub use provider::{ProviderError, Weather, WeatherProvider};
pub use simulated::Simulated;
