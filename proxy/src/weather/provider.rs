use std::borrow::Cow;
use std::future::Future;
use std::time::Duration;

use ::weather::{DailyForecast, FORECAST_DAYS, Forecast, Source, WeatherRequest};
use jiff::Timestamp;
use uuid::Uuid;

use super::{OpenMeteo, Simulated, UpstreamCircuits};

/// A source of weather.
pub trait WeatherProvider: Send + Sync + 'static {
    /// Returns the weather of the place that `request` names, within `time_left`.
    ///
    /// # Errors
    /// See [`ProviderError`]. An implementation never takes longer than `time_left`: it returns
    /// [`ProviderError::TimedOut`] instead.
    fn forecast(
        &self,
        request: &WeatherRequest,
        time_left: Duration,
    ) -> impl Future<Output = Result<Weather, ProviderError>> + Send;
}

/// A [`Forecast`] without the data of a request, so that several requests can share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Weather {
    /// The time of the current values.
    pub time: Timestamp,
    /// °C, to one decimal.
    pub temperature: f64,
    /// The sky in words.
    pub condition: Cow<'static, str>,
    /// Percent, 0 to 100.
    pub humidity: u8,
    /// km/h, to one decimal.
    pub wind_speed: f64,
    /// Today and the next days.
    pub daily: [DailyForecast; FORECAST_DAYS],
    /// The source of the numbers.
    pub source: Source,
}

impl Weather {
    /// The forecast for `request`, with the city and location as the request names them.
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
    /// The weather service knows no place of this name.
    #[error("no such place")]
    UnknownPlace,
    /// The weather service could not be reached, failed or refused. Further tries failed as well, or
    /// would have taken too long.
    #[error("the weather service is not available: {detail}")]
    Unavailable {
        /// What happened, for the log.
        detail: String,
    },
    /// The answer of the weather service is no forecast.
    #[error("the answer of the weather service is not valid: {detail}")]
    BadAnswer {
        /// What is wrong with the answer, for the log.
        detail: String,
    },
    /// The circuit is open: after many failures, the weather service gets no requests for a while.
    #[error("the weather service keeps failing and gets no requests for {retry_after:?}")]
    CircuitOpen {
        /// How long until the circuit lets a request pass.
        retry_after: Duration,
    },
    /// A rate limit is reached: the process's own, or that of the weather service.
    #[error("the rate limit of the weather service is reached; next request in {retry_after:?}")]
    Overloaded {
        /// How long until the limit allows a request.
        retry_after: Duration,
    },
    /// No time is left for this request.
    #[error("no time is left for this request")]
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
    /// The circuit breakers of the weather service; `None` for a provider that calls no service.
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
            // Boxed, because this future is large and would enlarge the task of every request.
            Self::OpenMeteo(open_meteo) => Box::pin(open_meteo.forecast(request, time_left)).await,
        }
    }
}
