//! The contract of the weather example: the request that a caller sends, the forecast that it gets, and
//! the rules for both. Ingress and workers share it; the gateway library does not use it.
//!
//! Read in this order:
//!
//! 1. [`request`]: [`WeatherRequest`], how it is read from untrusted bytes, and the errors;
//! 2. [`forecast`]: [`Forecast`], the weather of five days, as the caller reads it;
//! 3. [`condition`]: WMO weather codes and the words for them;
//! 4. [`units`]: conversion and rounding of the numbers.

pub mod condition;
pub mod forecast;
pub mod request;
pub mod units;

pub use forecast::{DailyForecast, FORECAST_DAYS, Forecast, Source};
pub use request::{FieldViolation, ParseError, WeatherRequest};
