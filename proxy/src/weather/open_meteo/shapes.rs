//! The answers of Open-Meteo and how they are decoded. The decoder checks the range of every number and
//! the length of every array, so that the circuit breaker and the metrics count an impossible answer as
//! a bad answer.

use std::borrow::Cow;
use std::sync::Arc;

use ::weather::condition::summary;
use ::weather::units::to_tenths;
use ::weather::{DailyForecast, FORECAST_DAYS, Source};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use serde::Deserialize;

use super::super::Weather;

/// The places that match, the best known first; may be empty.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawGeocoding")]
pub(super) struct GeocodingAnswer(pub(super) Arc<[Candidate]>);

/// The weather at one [`Spot`].
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawForecast")]
pub(super) struct ForecastAnswer(pub(super) Weather);

/// `{"results":[…]}`; without `results` nothing was found.
#[derive(Debug, Deserialize)]
struct RawGeocoding {
    #[serde(default)]
    results: Vec<Candidate>,
    #[serde(default)]
    error: bool,
}

/// Why an answer is not valid.
type BadAnswer = Cow<'static, str>;

/// A place of the requested name.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Candidate {
    name: String,
    latitude: f64,
    longitude: f64,
    country: Option<String>,
    country_code: Option<String>,
    admin1: Option<String>,
    admin2: Option<String>,
    admin3: Option<String>,
    admin4: Option<String>,
}

/// A position in hundredths of a degree (about one kilometre), so that places near each other share an
/// answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    latitude: i32,
    longitude: i32,
}

impl TryFrom<RawGeocoding> for GeocodingAnswer {
    type Error = BadAnswer;

    fn try_from(raw: RawGeocoding) -> Result<Self, BadAnswer> {
        if raw.error {
            return Err("an error with the status of a success".into());
        }
        let on_earth = |c: &Candidate| c.latitude.abs() <= 90.0 && c.longitude.abs() <= 180.0;
        if !raw.results.iter().all(on_earth) {
            return Err("a position outside the globe".into());
        }
        Ok(Self(raw.results.into()))
    }
}

/// The first candidate that fits `hint`, else the first candidate.
pub(super) fn choose<'a>(candidates: &'a [Candidate], hint: Option<&str>) -> Option<&'a Candidate> {
    let fitting = hint.and_then(|hint| candidates.iter().find(|candidate| candidate.fits(hint)));
    fitting.or(candidates.first())
}

impl Candidate {
    pub(super) fn spot(&self) -> Spot {
        let hundredths = |degrees: f64| (degrees * 100.0).round() as i32;
        Spot { latitude: hundredths(self.latitude), longitude: hundredths(self.longitude) }
    }

    fn fits(&self, hint: &str) -> bool {
        let hint = hint.to_lowercase();
        let regions = [&self.admin1, &self.admin2, &self.admin3, &self.admin4];
        let names = [Some(&self.name), self.country.as_ref(), self.country_code.as_ref()];
        let all = names.into_iter().chain(regions.map(Option::as_ref)).flatten();
        all.into_iter().any(|name| name.to_lowercase() == hint)
    }
}

impl Spot {
    /// Latitude and longitude in degrees, as the query writes them.
    pub(super) fn degrees(self) -> (String, String) {
        let text = |hundredths: i32| format!("{:.2}", f64::from(hundredths) / 100.0);
        (text(self.latitude), text(self.longitude))
    }
}

/// `current` as an object, `daily` as parallel arrays.
#[derive(Debug, Deserialize)]
struct RawForecast {
    #[serde(default)]
    utc_offset_seconds: i32,
    current: Current,
    daily: Daily,
}

#[derive(Debug, Deserialize)]
struct Current {
    /// Local time without its offset; the current time if the answer has none.
    time: Option<DateTime>,
    temperature_2m: f64,
    relative_humidity_2m: f64,
    wind_speed_10m: f64,
    weather_code: f64,
}

#[derive(Debug, Deserialize)]
struct Daily {
    time: Vec<Date>,
    weather_code: Vec<f64>,
    temperature_2m_max: Vec<f64>,
    temperature_2m_min: Vec<f64>,
}

impl TryFrom<RawForecast> for ForecastAnswer {
    type Error = BadAnswer;

    fn try_from(raw: RawForecast) -> Result<Self, BadAnswer> {
        let RawForecast { utc_offset_seconds, current, daily } = raw;
        let offset = Offset::from_seconds(utc_offset_seconds)
            .map_err(|_| BadAnswer::from("a UTC offset that is out of range"))?;
        let time = current.time.map_or_else(|| Ok(Timestamp::now()), |time| offset.to_timestamp(time));
        let time = time.map_err(|_| BadAnswer::from("a time that is out of range"))?;
        Ok(Self(Weather {
            time,
            temperature: to_tenths(temperature(current.temperature_2m)?),
            condition: words(current.weather_code).into(),
            humidity: within(current.relative_humidity_2m, 0.0, 100.0, "relative humidity")?.round() as u8,
            wind_speed: to_tenths(within(current.wind_speed_10m, 0.0, 500.0, "wind speed")?),
            daily: daily.into_days()?,
            source: Source::OpenMeteo,
        }))
    }
}

impl Daily {
    fn into_days(self) -> Result<[DailyForecast; FORECAST_DAYS], BadAnswer> {
        let Self { time, weather_code, temperature_2m_max: max, temperature_2m_min: min } = self;
        let lengths = [time.len(), weather_code.len(), max.len(), min.len()];
        if lengths != [FORECAST_DAYS; 4] {
            return Err(format!("days {lengths:?} instead of {FORECAST_DAYS} each").into());
        }
        let day = |n: usize| {
            let (low, high) = (temperature(min[n])?, temperature(max[n])?);
            Ok(DailyForecast::new(time[n], low, high, words(weather_code[n])))
        };
        let days: Vec<_> = (0..FORECAST_DAYS).map(day).collect::<Result<_, BadAnswer>>()?;
        days.try_into().map_err(|_| BadAnswer::from("a wrong number of days"))
    }
}

/// °C; the records on Earth are -89.2 and 56.7 (WMO World Weather and Climate Extremes Archive).
fn temperature(value: f64) -> Result<f64, BadAnswer> {
    within(value, -100.0, 70.0, "temperature")
}

fn within(value: f64, low: f64, high: f64, what: &str) -> Result<f64, BadAnswer> {
    if (low..=high).contains(&value) { Ok(value) } else { Err(format!("a {what} of {value}").into()) }
}

/// An unknown weather code is no reason to withhold the temperature.
fn words(code: f64) -> &'static str {
    let known = (code.fract() == 0.0 && (0.0..=99.0).contains(&code)).then(|| summary(code as u8));
    known.flatten().unwrap_or("Unclassified")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn springfields() -> Arc<[Candidate]> {
        let answer: GeocodingAnswer = serde_json::from_value(json!({"results": [
            {"name": "Springfield", "latitude": 37.21, "longitude": -93.3, "country": "United States",
                "country_code": "US", "admin1": "Missouri", "timezone": "America/Chicago"},
            {"name": "Springfield", "latitude": 39.8, "longitude": -89.64, "country": "United States",
                "country_code": "US", "admin1": "Illinois"},
        ]}))
        .expect("the service's shape");
        answer.0
    }

    fn forecast() -> Value {
        json!({
            "utc_offset_seconds": 3600,
            "current": {"time": "2026-11-21T11:15", "temperature_2m": 3.12, "relative_humidity_2m": 81,
                "wind_speed_10m": 12.6, "weather_code": 61},
            "daily": {"time": ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"],
                "weather_code": [61, 3, 0, 71, 100], "temperature_2m_max": [5, 6.1, 7, 0.5, 1],
                "temperature_2m_min": [1, 2, -3.3, -4, -5]}
        })
    }

    fn weather(answer: Value) -> Result<Weather, String> {
        let answer = serde_json::from_value::<ForecastAnswer>(answer);
        answer.map(|answer| answer.0).map_err(|error| error.to_string())
    }

    #[test]
    fn a_hint_prefers_the_place_that_fits_it() {
        let places = springfields();

        for (hint, chosen) in [
            (None, &places[0]),
            (Some("illinois"), &places[1]),
            (Some("Downtown"), &places[0]),
            (Some("US"), &places[0]),
        ] {
            assert_eq!(choose(&places, hint), Some(chosen), "{hint:?}");
        }
        assert_eq!(choose(&[], Some("Illinois")), None);
        assert_eq!(places[1].spot().degrees(), ("39.80".to_owned(), "-89.64".to_owned()));
    }

    #[test]
    fn an_answer_becomes_weather_in_utc_and_in_words() {
        let weather = weather(forecast()).expect("a forecast");

        assert_eq!(weather.time.to_string(), "2026-11-21T10:15:00Z");
        assert_eq!((weather.temperature, weather.condition.as_ref()), (3.1, "Slight rain"));
        assert_eq!((weather.humidity, weather.wind_speed), (81, 12.6));
        assert_eq!(weather.daily[3].summary, "Slight snowfall");
        assert_eq!(weather.daily[4].summary, "Unclassified");
        assert_eq!((weather.daily[2].temperature_min, weather.daily[2].temperature_max), (-3.3, 7.0));
    }

    #[test]
    fn a_missing_field_or_impossible_number_is_refused() {
        for (pointer, value) in [
            ("/current", Value::Null),
            ("/current/temperature_2m", Value::Null),
            ("/current/temperature_2m", json!(1e300)),
            ("/current/relative_humidity_2m", json!(101)),
            ("/current/wind_speed_10m", json!(-1)),
            ("/current/time", json!("yesterday")),
            ("/utc_offset_seconds", json!(1_000_000)),
            ("/daily", json!({})),
            ("/daily/time/0", json!("2026-02-30")),
            ("/daily/weather_code", json!([0, 0, 0, 0])),
            ("/daily/temperature_2m_max", json!([1, 2, 3, 4, 5, 6])),
            ("/daily/temperature_2m_max/2", Value::Null),
            ("/daily/temperature_2m_min/2", json!(-300)),
            ("/daily/temperature_2m_min", json!([])),
        ] {
            let mut answer = forecast();
            *answer.pointer_mut(pointer).expect("is there") = value.clone();
            assert!(weather(answer).is_err(), "{pointer} = {value}");
        }
    }

    #[test]
    fn no_results_are_no_places_and_an_impossible_place_is_refused() {
        let places = serde_json::from_value::<GeocodingAnswer>;
        let off = json!({"results": [{"name": "X", "latitude": 91, "longitude": 0}]});

        assert_eq!(places(json!({"generationtime_ms": 0.5})).expect("an answer").0.len(), 0);
        assert!(places(off).is_err());
        assert!(places(json!({"error": true, "reason": "no"})).is_err());
    }
}
