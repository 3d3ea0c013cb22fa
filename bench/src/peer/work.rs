//! The work of a peer: the proxy's own, without the stream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proxy::weather::{Simulated, WeatherProvider};
use streamgate::clock::SystemClock;
use streamgate::codec::{Codec, Json};
use streamgate::envelope::Problem;
use uuid::Uuid;
use weather::WeatherRequest;

/// What is done with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A simulated forecast.
    Forecast,
    /// The body is the answer: bodies of any size.
    Echo,
}

/// Makes the proxy's simulated forecasts, at once.
#[derive(Debug)]
pub struct Forecaster(Simulated);

/// No request reaches its deadline in a peer.
const TIME: Duration = Duration::from_secs(10);

impl Default for Forecaster {
    fn default() -> Self {
        Self(Simulated::new(Arc::new(SystemClock), None))
    }
}

impl Forecaster {
    /// Status and body of the answer to a checked request.
    pub async fn answer(&self, id: Uuid, request: WeatherRequest) -> (u16, Bytes) {
        let Ok(weather) = self.0.forecast(&request, TIME).await else {
            return failed(500, "there is no forecast");
        };
        match Json.encode(&weather.into_forecast(id, request)) {
            Ok(body) => (200, body),
            Err(_) => failed(500, "the forecast could not be encoded"),
        }
    }

    /// Status and body of the answer to a request that nobody has checked on this side.
    pub async fn answer_unchecked(&self, id: Uuid, body: &[u8]) -> (u16, Bytes) {
        match WeatherRequest::parse(body) {
            Ok(request) => self.answer(id, request).await,
            Err(error) => failed(422, &error.to_string()),
        }
    }
}

fn failed(status: u16, detail: &str) -> (u16, Bytes) {
    (status, Problem::new(status, detail).to_body())
}
