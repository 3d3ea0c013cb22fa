//! The cities of the simulation, with the position and surroundings from which it computes their weather.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A known city.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    /// Its name in English.
    pub(super) name: &'static str,
    /// Degrees, north positive; to about half a degree.
    pub(super) latitude: f64,
    /// Metres above sea level, to about a hundred.
    pub(super) elevation: f64,
    /// Decides the difference between summer and winter and between day and night.
    pub(super) setting: Setting,
}

/// How the surroundings of a place change its temperatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// The sea keeps the differences small.
    Maritime,
    /// Land, or wind from the land, makes the differences large.
    Continental,
    /// Dry air: hot days, cold nights, little rain.
    Arid,
}

/// The city named `name`, in upper or lower case; `None` if the table has no such city.
pub(super) fn find(name: &str) -> Option<&'static Place> {
    BY_NAME.get(&lower_case(name)).copied()
}

static BY_NAME: LazyLock<HashMap<String, &Place>> =
    LazyLock::new(|| PLACES.iter().map(|place| (lower_case(place.name), place)).collect());

/// Each character by itself: `str::to_lowercase` depends on the characters around it.
fn lower_case(name: &str) -> String {
    match name.is_ascii() {
        true => name.to_ascii_lowercase(),
        false => name.chars().flat_map(char::to_lowercase).collect(),
    }
}

use Setting::{Arid, Continental, Maritime};

#[rustfmt::skip]
const PLACES: &[Place] = &[
    // Africa
    at("Accra",           5.5,    60., Maritime),
    at("Addis Ababa",     9.0, 2_350., Continental),
    at("Cairo",          30.0,    20., Arid),
    at("Cape Town",     -34.0,    10., Maritime),
    at("Casablanca",     33.5,    30., Maritime),
    at("Dakar",          14.5,    20., Maritime),
    at("Johannesburg",  -26.0, 1_750., Continental),
    at("Kinshasa",       -4.5,   280., Continental),
    at("Lagos",           6.5,    10., Maritime),
    at("Nairobi",        -1.5, 1_700., Continental),
    // Asia
    at("Almaty",         43.0,   800., Continental),
    at("Bangkok",        13.5,    10., Maritime),
    at("Beijing",        40.0,    40., Continental),
    at("Delhi",          28.5,   200., Continental),
    at("Dubai",          25.0,    10., Arid),
    at("Hong Kong",      22.5,    10., Maritime),
    at("Istanbul",       41.0,    40., Maritime),
    at("Jakarta",        -6.0,    10., Maritime),
    at("Jerusalem",      31.5,   750., Arid),
    at("Karachi",        25.0,    10., Arid),
    at("Manila",         14.5,    10., Maritime),
    at("Mumbai",         19.0,    10., Maritime),
    at("Novosibirsk",    55.0,   150., Continental),
    at("Riyadh",         24.5,   600., Arid),
    at("Seoul",          37.5,    40., Continental),
    at("Shanghai",       31.0,    10., Continental),
    at("Singapore",       1.5,    20., Maritime),
    at("Taipei",         25.0,    10., Maritime),
    at("Tehran",         35.5, 1_200., Arid),
    at("Tokyo",          35.5,    40., Maritime),
    at("Ulaanbaatar",    48.0, 1_350., Continental),
    // Europe
    at("Amsterdam",      52.5,     0., Maritime),
    at("Athens",         38.0,    70., Maritime),
    at("Berlin",         52.5,    40., Continental),
    at("Dublin",         53.5,    20., Maritime),
    at("Helsinki",       60.0,    20., Continental),
    at("Kyiv",           50.5,   180., Continental),
    at("Lisbon",         38.5,    20., Maritime),
    at("London",         51.5,    20., Maritime),
    at("Madrid",         40.5,   650., Continental),
    at("Moscow",         55.5,   150., Continental),
    at("Munich",         48.0,   520., Continental),
    at("Oslo",           60.0,    20., Continental),
    at("Paris",          49.0,    40., Maritime),
    at("Reykjavik",      64.0,    20., Maritime),
    at("Rome",           42.0,    20., Maritime),
    at("Stockholm",      59.5,    20., Continental),
    at("Tromsø",         69.5,    10., Maritime),
    at("Vienna",         48.0,   170., Continental),
    at("Warsaw",         52.0,   110., Continental),
    at("Zurich",         47.5,   410., Continental),
    at("Zürich",         47.5,   410., Continental),
    // North and Central America
    at("Anchorage",      61.0,    30., Continental),
    at("Chicago",        42.0,   180., Continental),
    at("Denver",         39.5, 1_600., Arid),
    at("Honolulu",       21.5,    10., Maritime),
    at("Houston",        30.0,    20., Continental),
    at("Los Angeles",    34.0,    90., Maritime),
    at("Mexico City",    19.5, 2_250., Continental),
    at("Miami",          26.0,    10., Maritime),
    at("Montreal",       45.5,    30., Continental),
    at("New York",       40.5,    10., Continental),
    at("Phoenix",        33.5,   330., Arid),
    at("San Francisco",  37.5,    20., Maritime),
    at("Seattle",        47.5,    50., Maritime),
    at("Toronto",        43.5,    80., Continental),
    at("Vancouver",      49.5,    10., Maritime),
    // South America
    at("Bogotá",          4.5, 2_600., Continental),
    at("Bogota",          4.5, 2_600., Continental),
    at("Buenos Aires",  -34.5,    20., Maritime),
    at("Lima",          -12.0,   150., Arid),
    at("Quito",           0.0, 2_850., Continental),
    at("Rio de Janeiro",-23.0,    10., Maritime),
    at("Santiago",      -33.5,   550., Arid),
    at("São Paulo",     -23.5,   760., Maritime),
    at("Sao Paulo",     -23.5,   760., Maritime),
    at("Ushuaia",       -55.0,    20., Maritime),
    // Oceania
    at("Auckland",      -37.0,    20., Maritime),
    at("Melbourne",     -38.0,    30., Maritime),
    at("Perth",         -32.0,    20., Maritime),
    at("Sydney",        -34.0,    20., Maritime),
    at("Wellington",    -41.5,    10., Maritime),
];

const fn at(name: &'static str, latitude: f64, elevation: f64, setting: Setting) -> Place {
    Place { name, latitude, elevation, setting }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_city_is_found_in_any_case() {
        for name in ["New York", "new york", "NEW YORK", "SÃO PAULO", "tromsø"] {
            assert!(find(name).is_some(), "{name}");
        }
        assert_eq!(find("Atlantis"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn every_city_has_a_valid_position_and_a_unique_name() {
        for place in PLACES {
            assert!(place.latitude.abs() < 90.0 && (0.0..5_000.0).contains(&place.elevation), "{place:?}");
            assert_eq!(find(place.name), Some(place));
        }
        assert!(PLACES.len() >= 60);
    }
}
