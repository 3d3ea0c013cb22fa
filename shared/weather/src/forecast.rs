//! The forecast that a caller gets.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::units::{fahrenheit, to_tenths};

/// Number of days in a forecast, including today.
pub const FORECAST_DAYS: usize = 5;

/// The current weather of one place and its forecast.
///
/// `location` is absent if the request has none; every other field is always present.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({
    "requestId": "0199f2a4-7c1e-7b3a-9d50-2f6c1f0f8a11",
    "city": "New York",
    "location": "Downtown",
    "forecastTime": "2026-11-21T10:00:00Z",
    "temperature": 7.4,
    "condition": "Partly cloudy",
    "humidity": 61,
    "windSpeed": 14.2,
    "daily": [
        {"date": "2026-11-21", "temperatureMin": 3.1, "temperatureMax": 9.5, "temperatureC": 6.3,
            "temperatureF": 43.3, "summary": "Partly cloudy"},
        {"date": "2026-11-22", "temperatureMin": 2.4, "temperatureMax": 8.8, "temperatureC": 5.6,
            "temperatureF": 42.1, "summary": "Slight rain"},
        {"date": "2026-11-23", "temperatureMin": 1.0, "temperatureMax": 6.2, "temperatureC": 3.6,
            "temperatureF": 38.5, "summary": "Overcast"},
        {"date": "2026-11-24", "temperatureMin": -0.8, "temperatureMax": 5.0, "temperatureC": 2.1,
            "temperatureF": 35.8, "summary": "Clear sky"},
        {"date": "2026-11-25", "temperatureMin": 0.2, "temperatureMax": 7.2, "temperatureC": 3.7,
            "temperatureF": 38.7, "summary": "Mainly clear"}
    ],
    "source": "simulated"
}))]
pub struct Forecast {
    /// The correlation id of the request.
    pub request_id: Uuid,
    /// The city as in the request, trimmed.
    pub city: String,
    /// The location as in the request, trimmed; absent if the request has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub location: Option<String>,
    /// The time of `temperature`, `condition`, `humidity` and `windSpeed` (RFC 3339, UTC).
    pub forecast_time: Timestamp,
    /// Air temperature in °C, to one decimal.
    pub temperature: f64,
    /// The sky in words.
    #[schema(value_type = String)]
    pub condition: Cow<'static, str>,
    /// Relative humidity in percent, 0 to 100.
    #[schema(maximum = 100)]
    pub humidity: u8,
    /// Wind speed 10 m above ground in km/h, to one decimal.
    #[schema(minimum = 0)]
    pub wind_speed: f64,
    /// Today and the next four days, by the local date of the place; simulated weather uses the date in UTC.
    #[schema(min_items = 5, max_items = 5)]
    pub daily: [DailyForecast; FORECAST_DAYS],
    /// The source of the numbers.
    pub source: Source,
}

/// One day of a forecast.
// The API's schema contains the text above, so this is no part of it: `DailyForecast::new` keeps the
// numbers consistent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DailyForecast {
    /// The day (RFC 3339 full-date).
    pub date: Date,
    /// Lowest air temperature in °C, to one decimal.
    pub temperature_min: f64,
    /// Highest air temperature in °C, to one decimal.
    pub temperature_max: f64,
    /// The middle between `temperatureMin` and `temperatureMax` in °C, to one decimal.
    pub temperature_c: f64,
    /// `temperatureC` in °F, to one decimal.
    pub temperature_f: f64,
    /// The day's weather in words.
    #[schema(value_type = String)]
    pub summary: Cow<'static, str>,
}

impl DailyForecast {
    /// A day with its lowest and highest temperature in °C, in any order.
    pub fn new(date: Date, one: f64, other: f64, summary: impl Into<Cow<'static, str>>) -> Self {
        let (min, max) = (to_tenths(one.min(other)), to_tenths(one.max(other)));
        let middle = to_tenths(f64::midpoint(min, max));
        Self {
            date,
            temperature_min: min,
            temperature_max: max,
            temperature_c: middle,
            temperature_f: to_tenths(fahrenheit(middle)),
            summary: summary.into(),
        }
    }
}

/// The source of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Computed by the worker: plausible, repeatable, not real.
    Simulated,
    /// Weather data by Open-Meteo.com (CC BY 4.0).
    OpenMeteo,
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    /// The example in the schema.
    fn example() -> Value {
        let schema = serde_json::to_value(Forecast::schema()).expect("a schema is JSON");
        schema["example"].clone()
    }

    #[test]
    fn the_documented_example_is_a_consistent_forecast() {
        let forecast: Forecast = serde_json::from_value(example()).expect("the example is valid");

        assert_eq!(serde_json::to_value(&forecast).expect("encodes"), example());
        for day in &forecast.daily {
            let rebuilt =
                DailyForecast::new(day.date, day.temperature_min, day.temperature_max, day.summary.clone());
            assert_eq!(day, &rebuilt);
        }
    }

    #[test]
    fn an_absent_location_is_left_out() {
        let mut forecast: Forecast = serde_json::from_value(example()).expect("the example is valid");

        forecast.location = None;

        assert_eq!(serde_json::to_value(&forecast).expect("encodes").get("location"), None);
    }

    #[test]
    fn a_forecast_has_exactly_five_days() {
        let mut body = example();

        body["daily"].as_array_mut().expect("an array").pop();

        assert!(serde_json::from_value::<Forecast>(body).is_err());
    }

    #[test]
    fn the_numbers_of_a_day_are_consistent() {
        let day = DailyForecast::new(date(2026, 11, 21), 5.16, -2.04, "Overcast");

        assert_eq!((day.temperature_min, day.temperature_max), (-2.0, 5.2));
        assert_eq!((day.temperature_c, day.temperature_f), (1.6, 34.9));
    }

    #[test]
    fn the_source_is_written_in_kebab_case() {
        let names = [Source::Simulated, Source::OpenMeteo].map(|s| serde_json::to_value(s).expect("encodes"));

        assert_eq!(names, [json!("simulated"), json!("open-meteo")]);
    }
}
