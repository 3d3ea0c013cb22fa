//! Many callers share few requests to the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

use super::stub::{berlin, fine_weather_body};
use super::*;

/// Lets every other task of this single-threaded runtime run until `condition` holds.
async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PLENTY, waiting).await.expect("the condition holds in the end");
}

#[tokio::test]
async fn a_hundred_callers_of_one_place_share_one_request() {
    let release = Arc::new(Notify::new());
    let script = {
        let release = Arc::clone(&release);
        move |_| Answer::Once(Arc::clone(&release), fine_weather_body())
    };
    let stub = Stub::start(|_| berlin(), script).await;
    let provider = Arc::new(provider(settings(&stub)));

    let callers: Vec<_> = (0..100)
        .map(|n| {
            let provider = Arc::clone(&provider);
            let city = if n % 2 == 0 { "Berlin" } else { "BERLIN" };
            tokio::spawn(async move { ask(&provider, city).await })
        })
        .collect();
    until(|| stub.forecast.count() > 0).await;
    release.notify_one();

    for caller in callers {
        assert!(caller.await.expect("no panic").is_ok());
    }
    assert_eq!((stub.geocoding.count(), stub.forecast.count()), (1, 1));
}

#[tokio::test]
async fn a_caller_with_time_left_asks_again_after_a_timeout() {
    let recovered = Arc::new(AtomicBool::new(false));
    let script = {
        let recovered = Arc::clone(&recovered);
        move |_| if recovered.load(Relaxed) { fine_weather() } else { Answer::Never }
    };
    let stub = Stub::start(|_| berlin(), script).await;
    let provider = provider(settings(&stub));
    let berlin = WeatherRequest { city: "Berlin".to_owned(), location: None };

    let hasty = async {
        let result = provider.forecast(&berlin, Duration::from_millis(300)).await;
        recovered.store(true, Relaxed);
        result
    };
    let (hasty, patient) = tokio::join!(hasty, provider.forecast(&berlin, PLENTY));

    assert_eq!(hasty, Err(ProviderError::TimedOut));
    assert!(patient.is_ok(), "{patient:?}");
}

#[tokio::test]
async fn a_cancelled_caller_does_not_fail_the_others() {
    let hangs_once = |n| if n == 1 { Answer::Never } else { fine_weather() };
    let stub = Stub::start(|_| berlin(), hangs_once).await;
    let provider = Arc::new(provider(settings(&stub)));
    let caller = || {
        let provider = Arc::clone(&provider);
        tokio::spawn(async move { ask(&provider, "Berlin").await })
    };

    let first = caller();
    until(|| stub.forecast.count() == 1).await;
    let second = caller();
    tokio::task::yield_now().await;
    first.abort();

    let result = second.await.expect("no panic");
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test]
async fn failures_are_shared_but_not_kept() {
    let fails_once = |n| if n == 1 { Answer::status(400) } else { fine_weather() };
    let stub = Stub::start(|_| berlin(), fails_once).await;
    let provider = provider(settings(&stub));

    assert!(ask(&provider, "Berlin").await.is_err());
    assert!(ask(&provider, "Berlin").await.is_ok());
}

#[tokio::test]
async fn a_place_is_kept_for_longer_than_its_forecast() {
    let stub = Stub::healthy().await;
    let fresh = provider(settings(&stub));
    let brief = provider(OpenMeteoSettings { forecast_ttl: Duration::from_millis(1), ..settings(&stub) });

    for _ in 0..10 {
        ask(&fresh, "Berlin").await.expect("a forecast");
    }
    assert_eq!((stub.geocoding.count(), stub.forecast.count()), (1, 1));

    let stale = async {
        while stub.forecast.count() < 4 {
            ask(&brief, "Berlin").await.expect("a forecast");
        }
    };
    tokio::time::timeout(PLENTY, stale).await.expect("a forecast of a millisecond is asked for again");
    assert_eq!(stub.geocoding.count(), 2);
}
