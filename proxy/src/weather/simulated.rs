//! Computed weather: needs no network and no API key, and is the same every time.

mod climate;
mod seed;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::weather::{DailyForecast, Source, WeatherRequest};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use service::config::DurationRange;
use streamgate::clock::Clock;

use super::{ProviderError, Weather, WeatherProvider};
use climate::{DaysWeather, place_of, weather_of};

/// The default provider: plausible weather. The same city, location and day (UTC) have the same weather
/// in every process, on every machine and with every version of Rust.
///
/// Known cities get the weather of their latitude, elevation and season. Any other name is a place in
/// the middle latitudes of the north, so no place is unknown. The weather of a day does not depend on
/// the day of the request: tomorrow's forecast comes true.
pub struct Simulated {
    clock: Arc<dyn Clock>,
    latency: Option<DurationRange>,
}

impl Simulated {
    /// A provider that takes today's date from `clock`. With `latency`, each forecast takes a random
    /// time from that range, for demonstrations and load tests.
    pub fn new(clock: Arc<dyn Clock>, latency: Option<DurationRange>) -> Self {
        Self { clock, latency }
    }

    fn weather(&self, request: &WeatherRequest) -> Weather {
        let now = i64::try_from(self.clock.now_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let now = now.unwrap_or(Timestamp::UNIX_EPOCH);
        let today = now.to_zoned(TimeZone::UTC).date();
        let location = request.location.as_deref().unwrap_or_default();
        let (city, place) = (request.city.as_str(), place_of(&request.city));
        let days: [DaysWeather; _] =
            [0, 1, 2, 3, 4].map(|n| weather_of(place, city, location, today.saturating_add(n.days())));
        let current = &days[0];
        Weather {
            time: now,
            temperature: current.typical,
            condition: current.summary.into(),
            humidity: current.humidity,
            wind_speed: current.wind_speed,
            daily: days.each_ref().map(|day| DailyForecast::new(day.date, day.min, day.max, day.summary)),
            source: Source::Simulated,
        }
    }
}

impl WeatherProvider for Simulated {
    async fn forecast(
        &self,
        request: &WeatherRequest,
        time_left: Duration,
    ) -> Result<Weather, ProviderError> {
        if let Some(range) = self.latency {
            let latency = rand::random_range(range.from..=range.to);
            tokio::time::timeout(time_left, tokio::time::sleep(latency))
                .await
                .map_err(|_| ProviderError::TimedOut)?;
        }
        Ok(self.weather(request))
    }
}

impl fmt::Debug for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulated").field("latency", &self.latency).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::Instant;

    use super::*;

    /// A provider whose clock always shows noon UTC on `date`.
    pub(in crate::weather) fn simulated_on(date: &str) -> Simulated {
        Simulated::new(Arc::new(Noon::of(date)), None)
    }

    struct Noon(u64);

    impl Noon {
        fn of(date: &str) -> Self {
            let noon: Timestamp = format!("{date}T12:00:00Z").parse().expect("a date");
            Self(noon.as_millisecond() as u64)
        }
    }

    impl Clock for Noon {
        fn now_ms(&self) -> u64 {
            self.0
        }
    }

    fn place(city: &str, location: Option<&str>) -> WeatherRequest {
        WeatherRequest { city: city.to_owned(), location: location.map(str::to_owned) }.normalized()
    }

    #[test]
    fn a_place_and_a_day_have_the_same_weather_in_every_version() {
        let weather = simulated_on("2026-11-21").weather(&place("New York", Some("Downtown")));

        assert_eq!(
            (weather.temperature, weather.condition.as_ref(), weather.humidity, weather.wind_speed),
            (14.5, "Fog", 92, 5.1)
        );
        assert_eq!(weather.time.to_string(), "2026-11-21T12:00:00Z");
        assert_eq!(weather.daily[4].date.to_string(), "2026-11-25");
    }

    #[test]
    fn case_and_spaces_around_a_name_do_not_change_the_weather() {
        let simulated = simulated_on("2026-11-21");

        let plain = simulated.weather(&place("São Paulo", Some("Centro")));

        assert_eq!(simulated.weather(&place(" SÃO PAULO", Some("CENTRO "))), plain);
        assert_ne!(simulated.weather(&place("São Paulo", None)), plain);
        assert_ne!(simulated.weather(&place("São Paulo C", Some("entro"))), plain);
    }

    #[test]
    fn tomorrows_forecast_comes_true() {
        let oslo = place("Oslo", None);

        let seen_today = simulated_on("2026-11-21").weather(&oslo);
        let seen_tomorrow = simulated_on("2026-11-22").weather(&oslo);

        assert_eq!(seen_today.daily[1..], seen_tomorrow.daily[..4]);
    }

    #[test]
    fn july_is_summer_in_the_north_and_winter_in_the_south() {
        let (january, july) = (simulated_on("2026-01-15"), simulated_on("2026-07-15"));

        for city in ["Moscow", "New York", "Tokyo"] {
            let city = place(city, None);
            assert!(july.weather(&city).temperature > january.weather(&city).temperature + 5.0);
        }
        for city in ["Sydney", "Buenos Aires", "Johannesburg"] {
            let city = place(city, None);
            assert!(
                january.weather(&city).daily[0].temperature_c > july.weather(&city).daily[0].temperature_c
            );
        }
    }

    #[test]
    fn the_first_and_last_day_of_the_calendar_do_not_panic() {
        for ms in [0, u64::MAX, Timestamp::MAX.as_millisecond() as u64] {
            let weather = Simulated::new(Arc::new(Noon(ms)), None).weather(&place("Oslo", None));
            assert!(weather.temperature.is_finite());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latency_never_exceeds_the_time_left() {
        let latency = "2s..3s".parse().expect("a range");
        let simulated = Simulated::new(Arc::new(Noon::of("2026-11-21")), Some(latency));
        let (oslo, start) = (place("Oslo", None), Instant::now());

        let patient = simulated.forecast(&oslo, Duration::from_secs(10)).await;
        let waited = start.elapsed();
        let hasty = simulated.forecast(&oslo, Duration::from_secs(1)).await;

        assert!(patient.is_ok());
        assert!((2..=3).contains(&waited.as_secs()), "{waited:?}");
        assert_eq!(hasty, Err(ProviderError::TimedOut));
        assert_eq!((start.elapsed() - waited).as_secs(), 1);
    }
}
