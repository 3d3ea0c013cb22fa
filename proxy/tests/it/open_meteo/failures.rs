//! Every kind of failure of the service.

use std::num::NonZeroU32;
use std::time::Instant;

use serde_json::json;
use service::exporter::MetricsRecorder;
use tokio::net::TcpListener;

use super::stub::{berlin, fine_weather_body};
use super::*;

fn unavailable(result: Result<Weather, ProviderError>) -> String {
    match result {
        Err(ProviderError::Unavailable { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refusal_has_its_reason_and_is_not_retried() {
    let stub = Stub::start(|_| berlin(), |_| Answer::status(400)).await;

    let detail = unavailable(ask(&provider(settings(&stub)), "Berlin").await);

    assert_eq!(detail, "400 Bad Request: because");
    assert_eq!(stub.forecast.count(), 1);
}

#[tokio::test]
async fn a_retry_hides_a_failure_that_has_passed() {
    let recovers = |n| if n < 3 { Answer::status(503) } else { fine_weather() };
    let stub = Stub::start(|_| berlin(), recovers).await;

    let result = ask(&provider(settings(&stub)), "Berlin").await;

    assert!(result.is_ok(), "{result:?}");
    assert_eq!(stub.forecast.count(), 3);
}

#[tokio::test]
async fn a_service_that_keeps_failing_gets_three_tries() {
    let stub = Stub::start(|_| berlin(), |_| Answer::status(500)).await;

    let detail = unavailable(ask(&provider(settings(&stub)), "Berlin").await);

    assert_eq!(detail, "500 Internal Server Error: because");
    assert_eq!(stub.forecast.count(), 3);
}

#[tokio::test]
async fn if_every_try_fails_retries_are_a_fraction_of_the_calls() {
    let stub = Stub::start(|_| Answer::status(503), |_| fine_weather()).await;
    let provider = provider(settings(&stub));
    let cities: Vec<String> = (0..100).map(|n| format!("City {n}")).collect();
    let started = Instant::now();

    let results = futures_util::future::join_all(cities.iter().map(|city| ask(&provider, city))).await;

    results.into_iter().for_each(|result| drop(unavailable(result)));
    // One retry for every five calls, and ten more in ten seconds. Without a budget there would be 300 tries.
    let most = 100.0 + 20.0 + 10.0 + started.elapsed().as_secs_f64();
    let asked = stub.geocoding.count();
    assert!((105.0..=most).contains(&(asked as f64)), "{asked}, of {most} at most");
}

#[tokio::test]
async fn a_retry_that_would_come_after_the_deadline_is_not_made() {
    let busy = |_| Answer::With(503, Some("2"), String::new());
    let stub = Stub::start(busy, |_| fine_weather()).await;
    let provider = provider(settings(&stub));
    let request = WeatherRequest { city: "Berlin".to_owned(), location: None };

    // A call may wait two seconds for a retry, but this call has only two seconds in total.
    let result = provider.forecast(&request, Duration::from_secs(2)).await;

    assert_eq!(unavailable(result), "503 Service Unavailable");
    assert_eq!(stub.geocoding.count(), 1);
}

#[tokio::test]
async fn a_silent_service_is_waited_for_within_the_time_left() {
    let stub = Stub::start(|_| Answer::Never, |_| fine_weather()).await;
    let provider = provider(settings(&stub));
    let request = WeatherRequest { city: "Berlin".to_owned(), location: None };

    let result = provider.forecast(&request, Duration::from_millis(100)).await;

    assert_eq!(result, Err(ProviderError::TimedOut));
}

#[tokio::test]
async fn a_request_without_time_is_not_sent() {
    let stub = Stub::healthy().await;
    let provider = provider(settings(&stub));
    let request = WeatherRequest { city: "Berlin".to_owned(), location: None };

    let result = provider.forecast(&request, Duration::ZERO).await;

    assert_eq!(result, Err(ProviderError::TimedOut));
    assert_eq!(stub.geocoding.count(), 0);
}

#[tokio::test]
async fn another_try_follows_one_that_hangs() {
    let hangs_once = |n| if n == 1 { Answer::Never } else { fine_weather() };
    let stub = Stub::start(|_| berlin(), hangs_once).await;

    let result =
        ask(&provider(OpenMeteoSettings { timeout: Duration::from_secs(1), ..settings(&stub) }), "Berlin")
            .await;

    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn a_closed_port_is_an_unavailable_service() {
    let stub = Stub::healthy().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a free port").local_addr().expect("bound");
    let forecast_url = format!("http://{closed}/v1/forecast?apikey=secret");

    let detail =
        unavailable(ask(&provider(OpenMeteoSettings { forecast_url, ..settings(&stub) }), "Berlin").await);

    assert!(!detail.contains("secret") && !detail.contains("latitude"), "{detail}");
}

#[tokio::test]
async fn an_invalid_answer_is_not_retried() {
    let mut short = fine_weather_body();
    short["daily"]["weather_code"] = json!([3, 61]);
    let mut holes = fine_weather_body();
    holes["daily"]["temperature_2m_min"][2] = json!(null);
    let long = format!("{}{}", fine_weather_body(), " ".repeat(300_000));
    for body in
        ["<html>".to_owned(), String::new(), "{}".to_owned(), short.to_string(), holes.to_string(), long]
    {
        let script = move |_| Answer::With(200, None, body.clone());
        let stub = Stub::start(|_| berlin(), script).await;

        let result = ask(&provider(settings(&stub)), "Berlin").await;

        assert!(matches!(result, Err(ProviderError::BadAnswer { .. })), "{result:?}");
        assert_eq!(stub.forecast.count(), 1);
    }
}

#[tokio::test]
async fn invalid_answers_open_the_circuit_too() {
    let mut short = fine_weather_body();
    short["daily"]["time"] = json!([]);
    let stub = Stub::start(|_| berlin(), move |_| Answer::ok(short.clone())).await;
    let breaker = BreakerSettings { failures: 1, open_for: PLENTY, probes: 1 };
    let provider = provider(OpenMeteoSettings { breaker, ..settings(&stub) });

    let (first, second) = (ask(&provider, "Berlin").await, ask(&provider, "Berlin").await);

    assert!(matches!(first, Err(ProviderError::BadAnswer { .. })), "{first:?}");
    assert!(matches!(second, Err(ProviderError::CircuitOpen { .. })), "{second:?}");
}

#[tokio::test]
async fn a_short_retry_after_is_waited_for_and_a_long_one_returned() {
    let limited = |wait: &'static str| {
        move |n| if n == 1 { Answer::With(429, Some(wait), String::new()) } else { fine_weather() }
    };
    let (short, long) =
        (Stub::start(|_| berlin(), limited("0")).await, Stub::start(|_| berlin(), limited("3600")).await);

    assert!(ask(&provider(settings(&short)), "Berlin").await.is_ok());
    assert_eq!(
        ask(&provider(settings(&long)), "Berlin").await,
        Err(ProviderError::Overloaded { retry_after: Duration::from_secs(3_600) })
    );
    assert_eq!(long.forecast.count(), 1);
}

#[tokio::test]
async fn a_failing_endpoint_opens_only_its_own_circuit() {
    let stub = Stub::start(|_| berlin(), |_| Answer::status(500)).await;
    let breaker = BreakerSettings { failures: 2, open_for: PLENTY, probes: 1 };
    let provider = provider(OpenMeteoSettings { tries: 1, breaker, ..settings(&stub) });

    for _ in 0..2 {
        unavailable(ask(&provider, "Berlin").await);
    }
    for city in ["Berlin", "Potsdam", "Spandau"] {
        let result = ask(&provider, city).await;
        assert!(matches!(result, Err(ProviderError::CircuitOpen { .. })), "{result:?}");
    }

    assert_eq!((stub.geocoding.count(), stub.forecast.count()), (3, 2));
}

#[tokio::test]
async fn refusals_do_not_open_the_circuit() {
    let stub = Stub::start(|_| Answer::status(404), |_| fine_weather()).await;
    let breaker = BreakerSettings { failures: 1, open_for: PLENTY, probes: 1 };
    let provider = provider(OpenMeteoSettings { breaker, ..settings(&stub) });

    for _ in 0..3 {
        unavailable(ask(&provider, "Berlin").await);
    }

    assert_eq!(stub.geocoding.count(), 3);
}

#[tokio::test]
async fn the_own_rate_limit_returns_the_time_to_wait() {
    let stub = Stub::healthy().await;
    let provider = provider(OpenMeteoSettings { per_minute: NonZeroU32::MIN, ..settings(&stub) });

    let result = ask(&provider, "Berlin").await;

    let Err(ProviderError::Overloaded { retry_after }) = result else { panic!("{result:?}") };
    assert!(retry_after <= Duration::from_secs(60), "{retry_after:?}");
    assert_eq!((stub.geocoding.count(), stub.forecast.count()), (1, 0));
}

#[tokio::test]
async fn tries_are_counted_by_endpoint_and_outcome() {
    let recovers = |n| if n == 1 { Answer::status(500) } else { fine_weather() };
    let stub = Stub::start(|_| berlin(), recovers).await;
    let recorder = MetricsRecorder::default();
    let metrics = metrics::with_local_recorder(&recorder, UpstreamMetrics::declare);
    let provider = OpenMeteo::new(settings(&stub), metrics, Tracer::default()).expect("valid settings");

    for _ in 0..2 {
        ask(&provider, "Berlin").await.expect("a forecast");
    }

    let text = recorder.handle().render();
    for line in [
        r#"weather_upstream_requests_total{endpoint="geocoding",outcome="success"} 1"#,
        r#"weather_upstream_requests_total{endpoint="forecast",outcome="failed"} 1"#,
        r#"weather_upstream_requests_total{endpoint="forecast",outcome="success"} 1"#,
        r#"weather_upstream_retries_total{endpoint="forecast"} 1"#,
        r#"weather_upstream_cache_hits_total{endpoint="forecast"} 1"#,
        r#"weather_upstream_cache_misses_total{endpoint="forecast"} 1"#,
        r#"weather_upstream_circuit_state{endpoint="forecast"} 0"#,
        r#"weather_upstream_duration_seconds_count{endpoint="forecast"} 2"#,
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}
