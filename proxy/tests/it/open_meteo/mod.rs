//! The Open-Meteo provider with a stub of the service. Real time passes in these tests, so no result
//! depends on its speed: an unwanted event would need hours, and a test waits for each wanted event.

mod failures;
mod sharing;
pub(crate) mod stub;

use std::time::Duration;

use proxy::weather::{
    OpenMeteo, OpenMeteoSettings, ProviderError, UpstreamMetrics, Weather, WeatherProvider,
};
use serde_json::json;
use streamgate::resilience::BreakerSettings;
use streamgate::telemetry::Tracer;
use stub::{Answer, Stub, fine_weather, nowhere};
use weather::{Source, WeatherRequest};

const PLENTY: Duration = Duration::from_secs(60);

/// Settings without failures; a test changes those that it needs.
fn settings(stub: &Stub) -> OpenMeteoSettings {
    OpenMeteoSettings {
        forecast_url: stub.forecast_url.clone(),
        geocoding_url: stub.geocoding_url.clone(),
        timeout: PLENTY,
        breaker: BreakerSettings { failures: 1_000, open_for: PLENTY, probes: 1 },
        ..OpenMeteoSettings::default()
    }
}

fn provider(settings: OpenMeteoSettings) -> OpenMeteo {
    OpenMeteo::new(settings, UpstreamMetrics::declare(), Tracer::default()).expect("valid settings")
}

async fn ask(provider: &OpenMeteo, city: &str) -> Result<Weather, ProviderError> {
    let request = WeatherRequest { city: city.to_owned(), location: None };
    provider.forecast(&request, PLENTY).await
}

#[tokio::test]
async fn a_city_is_found_and_gets_its_weather() {
    let stub = Stub::healthy().await;

    let weather = ask(&provider(settings(&stub)), "Berlin").await.expect("a forecast");

    assert_eq!((weather.source, weather.temperature), (Source::OpenMeteo, 3.1));
    assert_eq!((weather.condition.as_ref(), weather.humidity), ("Overcast", 81));
    assert_eq!(weather.daily.map(|day| day.temperature_max), [5.0, 6.1, 7.0, 0.5, 1.0]);
    let params = stub.forecast.last();
    assert_eq!((params["latitude"].as_str(), params["longitude"].as_str()), ("52.52", "13.41"));
    assert_eq!((params["forecast_days"].as_str(), params["timezone"].as_str()), ("5", "auto"));
}

#[tokio::test]
async fn any_city_name_stays_inside_one_query_parameter() {
    let stub = Stub::healthy().await;
    let provider = provider(settings(&stub));

    for city in ["a&count=1#x", "../../v1/forecast?latitude=0", "São Paulo", "100% \"quoted\" + more", "東京"]
    {
        ask(&provider, city).await.expect("a forecast");

        let params = stub.geocoding.last();
        assert_eq!((params["name"].as_str(), params["count"].as_str()), (city, "10"));
    }
}

#[tokio::test]
async fn the_location_chooses_among_cities_of_one_name() {
    let two = || {
        Answer::ok(json!({"results": [
            {"name": "Springfield", "latitude": 37.21, "longitude": -93.3, "admin1": "Missouri"},
            {"name": "Springfield", "latitude": 39.8, "longitude": -89.64, "admin1": "Illinois"},
        ]}))
    };
    let stub = Stub::start(move |_| two(), |_| fine_weather()).await;
    let provider = provider(settings(&stub));

    for (location, latitude) in [(Some("Illinois"), "39.80"), (Some("Downtown"), "37.21"), (None, "37.21")] {
        let request =
            WeatherRequest { city: "Springfield".to_owned(), location: location.map(str::to_owned) };
        provider.forecast(&request, PLENTY).await.expect("a forecast");

        assert_eq!(stub.forecast.last()["latitude"], latitude, "{location:?}");
    }
    assert_eq!(stub.geocoding.count(), 1);
}

#[tokio::test]
async fn an_unknown_city_is_kept_as_unknown() {
    let stub = Stub::start(|_| nowhere(), |_| fine_weather()).await;
    let provider = provider(settings(&stub));

    assert_eq!(ask(&provider, "Atlantis").await, Err(ProviderError::UnknownPlace));
    assert_eq!(ask(&provider, "ATLANTIS").await, Err(ProviderError::UnknownPlace));

    assert_eq!((stub.geocoding.count(), stub.forecast.count()), (1, 0));
}

#[tokio::test]
async fn a_key_in_the_configured_url_is_sent_along() {
    let stub = Stub::healthy().await;
    let forecast_url = format!("{}?apikey=k", stub.forecast_url);

    ask(&provider(OpenMeteoSettings { forecast_url, ..settings(&stub) }), "Berlin")
        .await
        .expect("a forecast");

    assert_eq!(stub.forecast.last()["apikey"], "k");
}

#[tokio::test]
async fn an_invalid_url_is_refused_at_once() {
    let stub = Stub::healthy().await;

    for url in ["", "api.open-meteo.com", "ftp://example.org", "http://"] {
        let settings = OpenMeteoSettings { forecast_url: url.to_owned(), ..settings(&stub) };
        assert!(OpenMeteo::new(settings, UpstreamMetrics::declare(), Tracer::default()).is_err(), "{url}");
    }
}
