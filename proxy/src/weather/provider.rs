use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use ::weather::{DailyForecast, FORECAST_DAYS, Forecast, Source, WeatherRequest};
use jiff::Timestamp;
use uuid::Uuid;

use super::{OpenMeteo, Simulated, UpstreamCircuits};

/// Knows the weather, or whom to ask.
pub trait WeatherProvider: Send + Sync + 'static {
    /// The weather of the place `request` names, within `time_left`.
    ///
    /// # Errors
    /// See [`ProviderError`]. An implementation never takes longer than `time_left`: it answers
    /// [`ProviderError::TimedOut`] instead.
    fn forecast(
        &self,
        request: &WeatherRequest,
        time_left: Duration,
    ) -> impl Future<Output = Result<Weather, ProviderError>> + Send;
}

/// A [`Forecast`] that belongs to no request yet, so that many may share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    /// The moment the current values are for.
    pub time: Timestamp,
    /// °C, to one decimal.
    pub temperature: f64,
    /// The sky in words.
    pub condition: Cow<'static, str>,
    /// Percent, 0 to 100.
    pub humidity: u8,
    /// km/h, to one decimal.
    pub wind_speed: f64,
    /// Today and the days after it.
    pub daily: [DailyForecast; FORECAST_DAYS],
    /// Where the numbers come from.
    pub source: Source,
}

impl Weather {
    /// The answer to `request`, whose names of the place it repeats.
    pub fn into_forecast(self, request_id: Uuid, request: WeatherRequest) -> Forecast {
        Forecast {
            request_id,
            city: request.city,
            location: request.location,
            forecast_time: self.time,
            temperature: self.temperature,
            condition: self.condition,
            humidity: self.humidity,
            wind_speed: self.wind_speed,
            daily: self.daily,
            source: self.source,
        }
    }
}

/// Why there is no forecast.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider knows no place of this name.
    #[error("no such place")]
    UnknownPlace,
    /// The weather service could not be reached, failed or refused, and trying again did not
    /// help or would have taken too long.
    #[error("the weather service is not available: {detail}")]
    Unavailable {
        /// What happened, for the log.
        detail: String,
    },
    /// The weather service answered with something that is no forecast.
    #[error("the weather service gave an answer that makes no sense: {detail}")]
    BadAnswer {
        /// What was wrong with it, for the log.
        detail: String,
    },
    /// The weather service has failed so often that it is left alone for a while.
    #[error("the weather service keeps failing and is left alone for {retry_after:?}")]
    CircuitOpen {
        /// How long until it is tried again.
        retry_after: Duration,
    },
    /// The weather service takes no more requests for now.
    #[error("the rate limit of the weather service is reached; it takes requests again in {retry_after:?}")]
    Overloaded {
        /// How long until it takes requests again.
        retry_after: Duration,
    },
    /// The time for this request is up.
    #[error("the time for this request is up")]
    TimedOut,
}

/// The configured provider.
#[derive(Debug)]
pub enum Provider {
    /// Computes the weather.
    Simulated(Simulated),
    /// Asks Open-Meteo.
    OpenMeteo(Box<OpenMeteo>),
}

impl Provider {
    /// The circuits to the service it asks; `None` for a provider that calls no service.
    pub fn circuits(&self) -> Option<UpstreamCircuits> {
        match self {
            Self::Simulated(_) => None,
            Self::OpenMeteo(open_meteo) => Some(open_meteo.circuits()),
        }
    }
}

impl WeatherProvider for Provider {
    async fn forecast(
        &self,
        request: &WeatherRequest,
        time_left: Duration,
    ) -> Result<Weather, ProviderError> {
        match self {
            Self::Simulated(simulated) => simulated.forecast(request, time_left).await,
            // Boxed, for it is large, and every request would carry its size through the worker.
            Self::OpenMeteo(open_meteo) => Box::pin(open_meteo.forecast(request, time_left)).await,
        }
    }
}
