//! A stub of Open-Meteo: a local server whose answers a test chooses.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The parameters of one request.
pub(crate) type Params = HashMap<String, String>;

/// How the stub answers a request.
pub(crate) enum Answer {
    /// Answers with a status, an optional `Retry-After`, and a body.
    With(u16, Option<&'static str>, String),
    /// Answers as [`Answer::With`] 200 once the notification comes.
    Once(Arc<Notify>, Value),
    /// Keeps the connection open and sends nothing.
    Never,
}

impl Answer {
    pub(crate) fn ok(body: Value) -> Self {
        Self::With(200, None, body.to_string())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::With(status, None, json!({"error": true, "reason": "because"}).to_string())
    }
}

/// The requests one endpoint has seen.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<Params>>>);

impl Seen {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().expect("no test panics here").len()
    }

    pub(crate) fn last(&self) -> Params {
        self.0.lock().expect("no test panics here").last().cloned().expect("a request")
    }

    fn note(&self, params: Params) -> usize {
        let mut seen = self.0.lock().expect("no test panics here");
        seen.push(params);
        seen.len()
    }
}

/// The running server; it stops when this value is dropped.
pub(crate) struct Stub {
    pub(crate) geocoding: Seen,
    pub(crate) forecast: Seen,
    pub(crate) geocoding_url: String,
    pub(crate) forecast_url: String,
    server: JoinHandle<()>,
}

impl Stub {
    /// Each endpoint calls its script with the number of the request, counted from 1, for the answer.
    pub(crate) async fn start(
        geocoding: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
        forecast: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
    ) -> Self {
        let (places, weather) = (Seen::default(), Seen::default());
        let routes = Router::new()
            .route("/v1/search", get(respond(places.clone(), geocoding)))
            .route("/v1/forecast", get(respond(weather.clone(), forecast)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.expect("serves") });
        Self {
            geocoding: places,
            forecast: weather,
            geocoding_url: format!("http://{address}/v1/search"),
            forecast_url: format!("http://{address}/v1/forecast"),
            server,
        }
    }

    /// A service without failures.
    pub(crate) async fn healthy() -> Self {
        Self::start(|_| berlin(), |_| fine_weather()).await
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn respond(
    seen: Seen,
    script: impl Fn(usize) -> Answer + Clone + Send + Sync + 'static,
) -> impl Fn(Query<Params>) -> std::pin::Pin<Box<dyn Future<Output = Response> + Send>> + Clone {
    move |Query(params)| {
        let answer = script(seen.note(params));
        Box::pin(async move {
            match answer {
                Answer::With(status, retry_after, body) => {
                    let status = StatusCode::from_u16(status).expect("a status");
                    let headers: Vec<_> = retry_after.map(|wait| ("retry-after", wait)).into_iter().collect();
                    let mut response = (status, body).into_response();
                    for (name, value) in headers {
                        response.headers_mut().insert(name, value.parse().expect("a header"));
                    }
                    response
                }
                Answer::Once(notify, body) => {
                    notify.notified().await;
                    body.to_string().into_response()
                }
                Answer::Never => pending().await,
            }
        })
    }
}

/// An answer of the geocoding endpoint with one place.
pub(crate) fn berlin() -> Answer {
    Answer::ok(json!({"results": [{
        "id": 2950159, "name": "Berlin", "latitude": 52.52437, "longitude": 13.41053, "elevation": 74.0,
        "country_code": "DE", "timezone": "Europe/Berlin", "country": "Germany", "admin1": "State of Berlin"
    }], "generationtime_ms": 0.6}))
}

/// An answer of the geocoding endpoint without a place.
pub(crate) fn nowhere() -> Answer {
    Answer::ok(json!({"generationtime_ms": 0.3}))
}

pub(crate) fn fine_weather() -> Answer {
    Answer::ok(fine_weather_body())
}

/// An answer of the forecast endpoint with five days.
pub(crate) fn fine_weather_body() -> Value {
    json!({
        "latitude": 52.52, "longitude": 13.42, "utc_offset_seconds": 3600, "timezone": "Europe/Berlin",
        "current_units": {"temperature_2m": "°C"},
        "current": {"time": "2026-11-21T11:15", "interval": 900, "temperature_2m": 3.1,
            "relative_humidity_2m": 81, "wind_speed_10m": 12.6, "weather_code": 3},
        "daily": {"time": ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24", "2026-11-25"],
            "weather_code": [3, 61, 0, 71, 45], "temperature_2m_max": [5.0, 6.1, 7.0, 0.5, 1.0],
            "temperature_2m_min": [1.0, 2.0, -3.3, -4.0, -5.0]}
    })
}
