use std::num::NonZeroU32;
use std::time::Duration;

use streamgate::resilience::BreakerSettings;

/// Where Open-Meteo is and how hard it may be asked.
#[derive(Debug, Clone)]
pub struct OpenMeteoSettings {
    /// `http` or `https` URL of the forecast endpoint; a query in it (an API key) is kept.
    pub forecast_url: String,
    /// `http` or `https` URL of the geocoding endpoint; likewise.
    pub geocoding_url: String,
    /// The longest one try may take, from connecting to the last byte. Keep it well below the
    /// deadlines of requests: only a try that had all of it and failed tells the circuit breaker
    /// that the service hangs.
    pub timeout: Duration,
    /// Tries a call may make at most, the first one included.
    pub tries: u32,
    /// The longest `Retry-After` that is waited for; a longer one is passed on.
    pub max_retry_after: Duration,
    /// Tries per minute, over both endpoints. The free tier allows 600 a minute, and 5,000 an hour
    /// and 10,000 a day, which only the service itself enforces.
    pub per_minute: NonZeroU32,
    /// How long a forecast is served from the cache.
    pub forecast_ttl: Duration,
    /// How long the coordinates of a city are.
    pub place_ttl: Duration,
    /// How long a city is remembered as unknown.
    pub unknown_place_ttl: Duration,
    /// Most cities, and most forecasts, in the caches.
    pub cached_places: u64,
    /// Longest answer read, in bytes after decompression.
    pub max_answer: usize,
    /// When an endpoint is left alone.
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
    /// Not an absolute `http` or `https` URL; it may hold a key, so it is not repeated.
    #[error("an endpoint is no http or https URL")]
    Url,
    /// The HTTP client could not be built: usually no CA certificates are installed.
    #[error("the HTTP client cannot be built")]
    Client(#[from] reqwest::Error),
}
