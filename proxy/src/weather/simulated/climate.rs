//! Computes the weather of a place on a day.
//!
//! A small model with a few plausible numbers, not a climatology. The yearly mean falls with latitude
//! and height. The differences between seasons and between day and night depend on the surroundings.
//! The sky suits the temperature. The model uses only exact arithmetic (no sine, no power), so that
//! every machine computes the same bits.

use ::weather::condition::summary;
use ::weather::units::to_tenths;
use jiff::civil::Date;

use super::super::places::{self, Place, Setting};
use super::seed::Draws;

/// The weather of one place on one day.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DaysWeather {
    pub(super) date: Date,
    /// °C.
    pub(super) min: f64,
    /// °C, above `min`.
    pub(super) max: f64,
    /// °C to one decimal, between `min` and `max`.
    pub(super) typical: f64,
    /// The sky in words.
    pub(super) summary: &'static str,
    /// Percent.
    pub(super) humidity: u8,
    /// km/h, to one decimal.
    pub(super) wind_speed: f64,
}

/// A place in the middle latitudes, for names that the table does not hold.
const SOMEWHERE: Place = Place { name: "", latitude: 45.0, elevation: 100.0, setting: Setting::Continental };

/// The place of `city`, or [`SOMEWHERE`] if the table does not hold it.
pub(super) fn place_of(city: &str) -> &'static Place {
    places::find(city.trim()).unwrap_or(&SOMEWHERE)
}

/// The weather of `city`, which lies at `place`, on `date`. Two locations in a city share the sky, and
/// their temperatures differ by about one degree.
pub(super) fn weather_of(place: &Place, city: &str, location: &str, date: Date) -> DaysWeather {
    let city = city.trim();
    let day = date.to_string();
    let mut here = Draws::of(&[city, &day]);
    let mut there = Draws::of(&[city, location.trim(), &day]);

    let citys_mean = expected(place, date) + here.between(-4.0, 4.0);
    let sky = sky(place, citys_mean, &mut here);
    let mean = citys_mean + there.between(-0.8, 0.8);
    let half_range = daily_range(place.setting) * sky.range() * here.between(0.8, 1.2) / 2.0;
    let wind = here.between(3.0, 28.0) * sky.wind();
    let humidity = sky.humidity() + here.between(-8.0, 8.0) + there.between(-3.0, 3.0)
        - if place.setting == Setting::Arid { 20.0 } else { 0.0 };
    DaysWeather {
        date,
        min: mean - half_range,
        max: mean + half_range,
        typical: to_tenths(mean + half_range * there.between(-0.2, 0.9)),
        summary: summary(sky.code(here.unit())).unwrap_or("Clear sky"),
        humidity: humidity.clamp(5.0, 100.0) as u8,
        wind_speed: to_tenths(wind),
    }
}

/// The mean temperature of `place` at this time of the year, in °C.
fn expected(place: &Place, date: Date) -> f64 {
    let latitude = place.latitude.abs();
    // About 27 °C at the equator, 16 at 42°, 4 at 60°; 6.5 K less per kilometre of height (the
    // lapse rate of the International Standard Atmosphere).
    let yearly = 27.5 - latitude * latitude * 0.006_5 - place.elevation * 0.006_5;
    let swing = latitude
        * match place.setting {
            Setting::Maritime => 0.16,
            Setting::Continental => 0.29,
            Setting::Arid => 0.26,
        };
    let warmth = warmth(date);
    yearly + swing * if place.latitude < 0.0 { -warmth } else { warmth }
}

/// The season in the north: -1 in the middle of January, 1 in the middle of July, smooth between.
fn warmth(date: Date) -> f64 {
    const COLDEST: f64 = 16.0;
    const HALF_YEAR: f64 = 182.625;
    let since = (f64::from(date.day_of_year()) - COLDEST).abs();
    let along = since.min(2.0 * HALF_YEAR - since) / HALF_YEAR;
    2.0 * (along * along * (3.0 - 2.0 * along)) - 1.0
}

/// The difference between day and night under an average sky, in K.
fn daily_range(setting: Setting) -> f64 {
    match setting {
        Setting::Maritime => 6.5,
        Setting::Continental => 9.5,
        Setting::Arid => 14.0,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sky {
    Clear,
    Cloudy,
    Overcast,
    Fog,
    Rain,
    Showers,
    Snow,
    Thunder,
}

/// A sky that suits a day of `mean` °C.
fn sky(place: &Place, mean: f64, draws: &mut Draws) -> Sky {
    // Arid places have a third of the usual rain.
    let dry = if place.setting == Setting::Arid { 0.9 } else { 0.7 };
    let (roll, kind) = (draws.unit(), draws.unit());
    if roll < dry {
        return match kind {
            k if k < 0.42 => Sky::Clear,
            k if k < 0.75 => Sky::Cloudy,
            k if k < 0.93 || mean > 14.0 => Sky::Overcast,
            _ => Sky::Fog,
        };
    }
    match kind {
        // At this mean, even the warmest hour stays near freezing.
        _ if mean < -1.5 => Sky::Snow,
        k if mean > 20.0 && k < 0.35 => Sky::Thunder,
        k if k < 0.7 => Sky::Rain,
        _ => Sky::Showers,
    }
}

impl Sky {
    /// The WMO code, by `strength` in `0.0..1.0`.
    fn code(self, strength: f64) -> u8 {
        let codes: &[u8] = match self {
            Self::Clear => &[0, 1],
            Self::Cloudy => &[2],
            Self::Overcast => &[3],
            Self::Fog => &[45],
            Self::Rain => &[51, 53, 61, 63, 65],
            Self::Showers => &[80, 81],
            Self::Snow => &[71, 73, 75, 85],
            Self::Thunder => &[95, 95, 96],
        };
        codes[((strength * codes.len() as f64) as usize).min(codes.len() - 1)]
    }

    /// Percent, before the random part is added.
    fn humidity(self) -> f64 {
        match self {
            Self::Clear => 48.0,
            Self::Cloudy => 58.0,
            Self::Overcast => 70.0,
            Self::Fog => 97.0,
            Self::Rain | Self::Snow => 88.0,
            Self::Showers | Self::Thunder => 80.0,
        }
    }

    /// Factor for the difference between day and night: large under a clear sky, small under clouds.
    fn range(self) -> f64 {
        match self {
            Self::Clear => 1.2,
            Self::Cloudy | Self::Thunder => 1.0,
            Self::Showers => 0.8,
            Self::Overcast | Self::Fog | Self::Rain => 0.6,
            // Small, so that noon is hardly above freezing on a day of snow.
            Self::Snow => 0.3,
        }
    }

    /// Factor for the wind: low in fog, high in thunder.
    fn wind(self) -> f64 {
        match self {
            Self::Fog => 0.2,
            Self::Thunder => 1.6,
            _ => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use jiff::civil::date;

    use super::*;

    const CITIES: [&str; 12] = [
        "New York",
        "Singapore",
        "Cairo",
        "Tromsø",
        "Ulaanbaatar",
        "Quito",
        "Sydney",
        "Ushuaia",
        "Riyadh",
        "London",
        "Delhi",
        "Nowhere in particular",
    ];

    /// Ten years of weather in a dozen cities.
    fn all_weather() -> impl Iterator<Item = (&'static str, DaysWeather)> {
        CITIES.into_iter().flat_map(|city| {
            let days = (0..3_650).map(|n| date(2020, 1, 1).saturating_add(n.days()));
            days.map(move |day| (city, weather_of(place_of(city), city, "", day)))
        })
    }

    #[test]
    fn every_day_is_possible_on_earth_and_consistent() {
        for (city, day) in all_weather() {
            assert!(day.min > -55.0 && day.max < 52.0, "{city} {day:?}");
            assert!(day.min < day.max && day.max - day.min < 25.0, "{city} {day:?}");
            assert!((to_tenths(day.min)..=to_tenths(day.max)).contains(&day.typical), "{city} {day:?}");
            assert!((5..=100).contains(&day.humidity), "{city} {day:?}");
            assert!((0.0..60.0).contains(&day.wind_speed), "{city} {day:?}");
        }
    }

    #[test]
    fn snow_falls_only_in_the_cold_and_thunder_only_in_warmth() {
        let mut seen = (0, 0);
        for (city, day) in all_weather() {
            if day.summary.contains("now") {
                seen.0 += 1;
                assert!(day.max < 2.0, "{city} {day:?}");
            }
            if day.summary.contains("Thunder") {
                seen.1 += 1;
                assert!(day.max > 20.0, "{city} {day:?}");
            }
        }
        assert!(seen.0 > 100 && seen.1 > 100, "{seen:?}");
    }

    #[test]
    fn the_season_peaks_in_mid_july_and_turns_smoothly_at_new_year() {
        assert!(warmth(date(2026, 1, 16)) == -1.0);
        assert!(warmth(date(2026, 7, 17)) > 0.999);
        let new_year = (warmth(date(2026, 12, 31)) - warmth(date(2027, 1, 1))).abs();
        assert!(new_year < 0.02, "{new_year}");
    }

    #[test]
    fn yearly_means_are_near_the_real_ones() {
        // The real means, within a few degrees, from the published climate normals of the cities.
        for (city, real) in [
            ("New York", 13.0),
            ("London", 11.5),
            ("Singapore", 27.5),
            ("Oslo", 6.5),
            ("Cairo", 22.5),
            ("Quito", 14.0),
            ("Sydney", 18.5),
            ("Moscow", 6.5),
        ] {
            let days = (0..365)
                .map(|n| weather_of(place_of(city), city, "", date(2026, 1, 1).saturating_add(n.days())));
            let mean = days.map(|day| f64::midpoint(day.min, day.max)).sum::<f64>() / 365.0;
            assert!((mean - real).abs() < 5.0, "{city}: {mean}");
        }
    }

    #[test]
    fn two_locations_in_a_city_share_the_sky_and_differ_a_little() {
        let day = date(2026, 11, 21);

        let (downtown, airport) = (
            weather_of(place_of("Oslo"), "Oslo", "Downtown", day),
            weather_of(place_of("Oslo"), "Oslo", "Airport", day),
        );

        assert_eq!(downtown.summary, airport.summary);
        assert_ne!(downtown.min, airport.min);
        assert!((downtown.min - airport.min).abs() < 2.0);
    }
}
