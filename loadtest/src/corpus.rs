//! The bodies of the requests. Each city occurs once, so an answer to another request is noticed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

/// The bodies of the requests, in turn.
#[derive(Debug, Clone)]
pub struct Corpus(Arc<[Body]>);

/// The body of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The bytes to send.
    pub json: Bytes,
    /// The city that a right answer names; `None` if the body names no city.
    pub city: Option<String>,
}

impl Corpus {
    /// Reads a file of JSON values, such as one on each line. Each value is the body of one request.
    ///
    /// # Errors
    /// Says what the file must contain.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, String> {
        let text = std::fs::read(path).map_err(|error| format!("must be a file of JSON bodies: {error}"))?;
        let bodies: Vec<Body> = serde_json::Deserializer::from_slice(&text)
            .into_iter::<Value>()
            .map(|body| body.map(|body| Body::of(&body)))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("must be a file of JSON bodies, such as one a line: {error}"))?;
        if bodies.is_empty() {
            return Err("must be a file of JSON bodies, at least one".to_owned());
        }
        Ok(Self(bodies.into()))
    }

    /// The body of request number `n`, counted from 0; the corpus repeats.
    pub fn body(&self, n: u64) -> &Body {
        &self.0[(n % self.0.len() as u64) as usize]
    }
}

impl Default for Corpus {
    fn default() -> Self {
        let body = |&(city, location): &(&str, &str)| Body::of(&json!({"city": city, "location": location}));
        Self(PLACES.iter().map(body).collect())
    }
}

impl Body {
    fn of(body: &Value) -> Self {
        Self { json: body.to_string().into(), city: body["city"].as_str().map(str::to_owned) }
    }
}

const PLACES: &[(&str, &str)] = &[
    ("New York", "Downtown"),
    ("London", "Westminster"),
    ("Tokyo", "Shibuya"),
    ("Paris", "Montmartre"),
    ("Berlin", "Kreuzberg"),
    ("Sydney", "Harbour"),
    ("Toronto", "Old Town"),
    ("Oslo", "Frogner"),
    ("Lisbon", "Alfama"),
    ("Nairobi", "Westlands"),
    ("Mumbai", "Bandra"),
    ("Singapore", "Marina Bay"),
    ("Cairo", "Zamalek"),
    ("Buenos Aires", "Palermo"),
    ("Mexico City", "Roma Norte"),
    ("Reykjavik", "Old Harbour"),
    ("Cape Town", "Waterfront"),
    ("Seoul", "Gangnam"),
    ("Vienna", "Innere Stadt"),
    ("Auckland", "Ponsonby"),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file
    }

    #[test]
    fn every_city_occurs_once_before_the_corpus_repeats() {
        let corpus = Corpus::default();

        let cities: HashSet<_> = (0..PLACES.len() as u64).map(|n| corpus.body(n).city.clone()).collect();

        assert!(PLACES.len() >= 15);
        assert_eq!(cities.len(), PLACES.len());
        assert_eq!(corpus.body(PLACES.len() as u64), corpus.body(0));
    }

    #[test]
    fn the_bodies_of_a_file_are_sent_in_turn() {
        let file = file("{\"city\":\"Oslo\",\"location\":\"Frogner\"}\n\n{\"question\":7}\n");

        let corpus = Corpus::read(file.path()).expect("bodies");

        assert_eq!(corpus.body(0).city.as_deref(), Some("Oslo"));
        assert_eq!((&corpus.body(1).json[..], &corpus.body(1).city), (&b"{\"question\":7}"[..], &None));
        assert_eq!(corpus.body(2), corpus.body(0));
    }

    #[test]
    fn a_file_without_bodies_is_refused() {
        for text in ["", "  \n", "{\"city\":", "city=Oslo"] {
            let refusal = Corpus::read(file(text).path()).expect_err(text);
            assert!(refusal.starts_with("must be a file of JSON bodies"), "{refusal}");
        }
        let missing = Corpus::read("no/such/file").expect_err("no file");
        assert!(missing.contains("No such file"), "{missing}");
    }
}
