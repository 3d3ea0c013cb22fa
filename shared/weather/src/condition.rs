//! Weather codes and the words for them.
//!
//! The codes are the subset of WMO code table 4677 ("present weather", WMO-No. 306, Manual on
//! Codes) that Open-Meteo uses; the wording follows the table in its documentation
//! (<https://open-meteo.com/en/docs>, "WMO Weather interpretation codes").

/// The words for weather code `code`; `None` for a code outside the subset.
pub fn summary(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "Clear sky",
        1 => "Mainly clear",
        2 => "Partly cloudy",
        3 => "Overcast",
        45 => "Fog",
        48 => "Depositing rime fog",
        51 => "Light drizzle",
        53 => "Moderate drizzle",
        55 => "Dense drizzle",
        56 => "Light freezing drizzle",
        57 => "Dense freezing drizzle",
        61 => "Slight rain",
        63 => "Moderate rain",
        65 => "Heavy rain",
        66 => "Light freezing rain",
        67 => "Heavy freezing rain",
        71 => "Slight snowfall",
        73 => "Moderate snowfall",
        75 => "Heavy snowfall",
        77 => "Snow grains",
        80 => "Slight rain showers",
        81 => "Moderate rain showers",
        82 => "Violent rain showers",
        85 => "Slight snow showers",
        86 => "Heavy snow showers",
        95 => "Thunderstorm",
        96 => "Thunderstorm with slight hail",
        99 => "Thunderstorm with heavy hail",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_of_the_subset_have_words_and_each_has_its_own() {
        let mut words: Vec<_> = (0..=u8::MAX).filter_map(summary).collect();

        words.sort_unstable();
        words.dedup();

        assert_eq!(words.len(), 28);
        assert_eq!(summary(4), None);
        assert_eq!(summary(100), None);
    }
}
