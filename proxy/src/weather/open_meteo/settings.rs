use std::num::NonZeroU32;
use std::time::Duration;

use streamgate::resilience::BreakerSettings;

/// The addresses of Open-Meteo and the limits of its use.
#[derive(Debug, Clone)]
pub struct OpenMeteoSettings {
    /// `http` or `https` URL of the forecast endpoint. A query in it, such as an API key, is sent along.
    pub forecast_url: String,
    /// `http` or `https` URL of the geocoding endpoint. A query in it is sent along.
    pub geocoding_url: String,
    /// The longest time of one try, from connecting to the last byte. It must be much shorter than the
    /// deadlines of requests: the circuit breaker counts a silent try as a failure only if the try had
    /// this whole time.
    pub timeout: Duration,
    /// Most tries of one call, including the first.
    pub tries: u32,
    /// The longest `Retry-After` that a call waits for. A longer one is passed on to the caller.
    pub max_retry_after: Duration,
    /// Most tries per minute, over both endpoints. The free tier allows 600 a minute, 5,000 an hour and
    /// 10,000 a day; only the service enforces the limits per hour and per day.
    pub per_minute: NonZeroU32,
    /// How long a forecast stays in the cache.
    pub forecast_ttl: Duration,
    /// How long the coordinates of a city stay in the cache.
    pub place_ttl: Duration,
    /// How long an unknown city stays in the cache.
    pub unknown_place_ttl: Duration,
    /// Most cities in their cache, and most forecasts in theirs.
    pub cached_places: u64,
    /// The longest answer that is read, in bytes after decompression.
    pub max_answer: usize,
    /// When the circuit of an endpoint opens.
    pub breaker: BreakerSettings,
}

impl Default for OpenMeteoSettings {
    /// The public service within the limits of its free tier.
    fn default() -> Self {
        Self {
            forecast_url: "https://api.open-meteo.com/v1/forecast".to_owned(),
            geocoding_url: "https://geocoding-api.open-meteo.com/v1/search".to_owned(),
            timeout: Duration::from_secs(2),
            tries: 3,
            max_retry_after: Duration::from_secs(2),
            per_minute: const { NonZeroU32::new(600).expect("not zero") },
            forecast_ttl: Duration::from_secs(10 * 60),
            place_ttl: Duration::from_secs(24 * 60 * 60),
            unknown_place_ttl: Duration::from_secs(10 * 60),
            cached_places: 10_000,
            max_answer: 256 * 1024,
            breaker: BreakerSettings { failures: 5, open_for: Duration::from_secs(5), probes: 1 },
        }
    }
}

/// Why an [`OpenMeteo`](super::OpenMeteo) could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A URL is not an absolute `http` or `https` URL. It may hold an API key, so the error does not show it.
    #[error("an endpoint is not an http or https URL")]
    Url,
    /// The HTTP client could not be built. The usual reason is that no CA certificates are installed.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}
