//! Real weather from Open-Meteo (<https://open-meteo.com>; data CC BY 4.0, "Weather data by
//! Open-Meteo.com").
//!
//! A request needs two answers: where the city is (geocoding) and what the weather is there (forecast).
//! `cache` returns a kept answer, and callers that want the same answer share one request. `endpoint`
//! sends the request and limits its time, tries, rate and size; each try is one `attempt`. `shapes`
//! decodes the answers.

mod attempt;
mod cache;
mod endpoint;
mod failure;
mod settings;
mod shapes;
mod traced;

use std::sync::Arc;
use std::time::Duration;

use ::weather::WeatherRequest;
use streamgate::telemetry::Tracer;
use tokio::time::Instant;

use super::{ProviderError, UpstreamCircuits, UpstreamMetrics, Weather, WeatherProvider};
use cache::Cache;
use endpoint::{Endpoint, Outbound};
use shapes::{Candidate, ForecastAnswer, GeocodingAnswer, Spot};

pub use settings::{OpenMeteoSettings, SetupError};

/// Gets the weather from Open-Meteo.
///
/// `location` is a hint, not a search term. Among the cities of the requested name, the provider takes
/// the first whose region, country or own name equals `location` ("Springfield", "Illinois"). If none
/// does, it takes the best known. The service knows no parts of cities, so "Downtown" changes nothing.
#[derive(Debug)]
pub struct OpenMeteo {
    geocoding: Endpoint,
    forecasts: Endpoint,
    /// Places by the city's name in lower case; the list is empty if the service knows no such city.
    places: Cache<String, Arc<[Candidate]>>,
    weather: Cache<Spot, Weather>,
}

impl OpenMeteo {
    /// Creates a provider with empty caches and closed circuits. Sends no request.
    ///
    /// # Errors
    /// A URL is not valid, or a URL is https and the system's TLS roots cannot be read.
    pub fn new(
        settings: OpenMeteoSettings,
        metrics: UpstreamMetrics,
        tracer: Tracer,
    ) -> Result<Self, SetupError> {
        let outbound = Arc::new(Outbound::new(&settings, tracer)?);
        let endpoint = |url: &str, metrics| Endpoint::new(url, Arc::clone(&outbound), metrics);
        let (known, unknown) = (settings.place_ttl, settings.unknown_place_ttl);
        let place_ttl = move |found: &Arc<[Candidate]>| if found.is_empty() { unknown } else { known };
        let forecast_ttl = move |_: &Weather| settings.forecast_ttl;
        Ok(Self {
            places: Cache::new(settings.cached_places, place_ttl, &metrics.geocoding),
            weather: Cache::new(settings.cached_places, forecast_ttl, &metrics.forecast),
            geocoding: endpoint(&settings.geocoding_url, metrics.geocoding)?,
            forecasts: endpoint(&settings.forecast_url, metrics.forecast)?,
        })
    }

    /// The circuit breakers of both endpoints.
    pub fn circuits(&self) -> UpstreamCircuits {
        UpstreamCircuits::new(self.geocoding.circuit(), self.forecasts.circuit())
    }

    /// The places named `city`, best known first.
    async fn places_named(&self, city: &str, deadline: Instant) -> Result<Arc<[Candidate]>, ProviderError> {
        let ask = || async {
            let query = [("name", city), ("count", "10"), ("language", "en"), ("format", "json")];
            let answer: GeocodingAnswer = self.geocoding.get(&query, deadline).await?;
            Ok(answer.0)
        };
        self.places.get_or_ask(city.to_lowercase(), deadline, ask).await
    }

    /// The weather at `spot`.
    async fn weather_at(&self, spot: Spot, deadline: Instant) -> Result<Weather, ProviderError> {
        let ask = || async {
            let (latitude, longitude) = spot.degrees();
            let query = [
                ("latitude", latitude.as_str()),
                ("longitude", longitude.as_str()),
                ("current", "temperature_2m,relative_humidity_2m,wind_speed_10m,weather_code"),
                ("daily", "weather_code,temperature_2m_max,temperature_2m_min"),
                ("forecast_days", "5"),
                ("timezone", "auto"),
            ];
            let answer: ForecastAnswer = self.forecasts.get(&query, deadline).await?;
            Ok(answer.0)
        };
        self.weather.get_or_ask(spot, deadline, ask).await
    }
}

impl WeatherProvider for OpenMeteo {
    async fn forecast(
        &self,
        request: &WeatherRequest,
        time_left: Duration,
    ) -> Result<Weather, ProviderError> {
        // No caller waits longer than a day, and without this bound the addition could overflow.
        let deadline = Instant::now() + time_left.min(Duration::from_secs(24 * 60 * 60));
        let places = self.places_named(&request.city, deadline).await?;
        let place =
            shapes::choose(&places, request.location.as_deref()).ok_or(ProviderError::UnknownPlace)?;
        self.weather_at(place.spot(), deadline).await
    }
}
