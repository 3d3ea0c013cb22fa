//! What is asked for. Every city occurs once, so an answer meant for another request shows.

use serde::Serialize;

/// The body of one forecast request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The city.
    pub city: &'static str,
    /// The part of the city.
    pub location: &'static str,
}

/// The place for request number `n`, counted from 0; the corpus repeats.
pub fn place(n: u64) -> Place {
    PLACES[(n % PLACES.len() as u64) as usize]
}

const PLACES: &[Place] = &[
    at("New York", "Downtown"),
    at("London", "Westminster"),
    at("Tokyo", "Shibuya"),
    at("Paris", "Montmartre"),
    at("Berlin", "Kreuzberg"),
    at("Sydney", "Harbour"),
    at("Toronto", "Old Town"),
    at("Oslo", "Frogner"),
    at("Lisbon", "Alfama"),
    at("Nairobi", "Westlands"),
    at("Mumbai", "Bandra"),
    at("Singapore", "Marina Bay"),
    at("Cairo", "Zamalek"),
    at("Buenos Aires", "Palermo"),
    at("Mexico City", "Roma Norte"),
    at("Reykjavik", "Old Harbour"),
    at("Cape Town", "Waterfront"),
    at("Seoul", "Gangnam"),
    at("Vienna", "Innere Stadt"),
    at("Auckland", "Ponsonby"),
];

const fn at(city: &'static str, location: &'static str) -> Place {
    Place { city, location }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_city_occurs_once_before_the_corpus_repeats() {
        let cities: HashSet<_> = PLACES.iter().map(|place| place.city).collect();

        assert!(PLACES.len() >= 15);
        assert_eq!(cities.len(), PLACES.len());
        assert_eq!(place(PLACES.len() as u64), place(0));
    }
}
