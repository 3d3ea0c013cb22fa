//! The contract of the weather example: what a caller sends, what it gets back, and the rules
//! both sides hold each other to. Ingress and workers share it; the gateway never sees it.
//!
//! Read in this order:
//!
//! 1. [`request`]: [`WeatherRequest`], how it is read from untrusted bytes, and every way that
//!    can fail;
//! 2. [`forecast`]: [`Forecast`], five days of it, as the caller reads it;
//! 3. [`condition`]: WMO weather codes and the words for them;
//! 4. [`units`]: the little arithmetic behind the numbers.

pub mod condition;
pub mod forecast;
pub mod request;
pub mod units;

pub use forecast::{DailyForecast, FORECAST_DAYS, Forecast, Source};
pub use request::{FieldViolation, ParseError, WeatherRequest};
