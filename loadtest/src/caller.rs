//! One request and its outcome.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

use crate::corpus::Body;

/// The outcome of one request and its latency.
#[derive(Debug)]
pub struct Outcome {
    /// The scheduled time of the request.
    pub intended: Instant,
    /// How much later than scheduled the request left. This process causes the delay, not the gateway.
    pub start_delay: Duration,
    /// Time from the scheduled time of the request until the answer is read and checked.
    pub latency: Duration,
    /// `Ok`, or why this request counts as failed.
    pub result: Result<(), Failure>,
}

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind by which failures are counted.
    pub kind: FailureKind,
    /// One line about this failure.
    pub detail: String,
}

/// The ways a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// An answer with a status outside 200 to 299.
    Status(u16),
    /// A forecast for another city than the one asked for.
    WrongCity,
    /// A success whose body is no forecast.
    Malformed,
    /// No answer within the timeout.
    Timeout,
    /// No connection.
    Connect,
    /// The connection broke before the answer was complete.
    Transport,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "http_{status}"),
            Self::WrongCity => f.write_str("wrong_city"),
            Self::Malformed => f.write_str("malformed"),
            Self::Timeout => f.write_str("timeout"),
            Self::Connect => f.write_str("connect"),
            Self::Transport => f.write_str("transport"),
        }
    }
}

/// Sends requests to one gateway; clones share its connections.
#[derive(Debug, Clone)]
pub struct Caller {
    client: Client,
    url: Url,
    timeout: Duration,
}

impl Caller {
    /// Calls the gateway at `base`, waiting `timeout` for each answer.
    pub fn new(client: Client, base: &Url, timeout: Duration) -> Self {
        Self { client, url: join(base, "WeatherForecast/city"), timeout }
    }

    /// Sends `body`, which was scheduled for `intended`, and checks the answer.
    pub async fn call(&self, body: &Body, intended: Instant) -> Outcome {
        let start_delay = intended.elapsed();
        let result = self.ask(body).await;
        Outcome { intended, start_delay, latency: intended.elapsed(), result }
    }

    async fn ask(&self, sent: &Body) -> Result<(), Failure> {
        let request = self
            .client
            .post(self.url.clone())
            .timeout(self.timeout)
            .header(CONTENT_TYPE, "application/json")
            .body(sent.json.clone());
        let answer = request.send().await.map_err(|error| Failure::of(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| Failure::of(&error))?;
        judge(status, &body, sent)
    }
}

/// Counts an answer as a success only if it is a forecast for the requested city. If the body names no
/// city, as a user's own body may, the status decides.
fn judge(status: StatusCode, body: &[u8], sent: &Body) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Forecast {
        city: String,
        #[serde(rename = "requestId")]
        request_id: Option<String>,
    }

    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }

    if !status.is_success() {
        let detail = serde_json::from_slice::<Problem>(body).map_or_else(
            |_| status.canonical_reason().unwrap_or_default().to_owned(),
            |problem| problem.detail,
        );
        return Err(Failure { kind: FailureKind::Status(status.as_u16()), detail });
    }
    let Some(city) = &sent.city else { return Ok(()) };
    let forecast: Forecast = serde_json::from_slice(body)
        .map_err(|error| Failure { kind: FailureKind::Malformed, detail: error.to_string() })?;
    if forecast.city.to_lowercase() != city.to_lowercase() {
        let id = forecast.request_id.unwrap_or_default();
        let detail = format!("asked for {city}, got {} (requestId {id})", forecast.city);
        return Err(Failure { kind: FailureKind::WrongCity, detail });
    }
    Ok(())
}

impl Failure {
    fn of(error: &reqwest::Error) -> Self {
        let kind = if error.is_timeout() {
            FailureKind::Timeout
        } else if error.is_connect() {
            FailureKind::Connect
        } else {
            FailureKind::Transport
        };
        Self { kind, detail: root_cause(error) }
    }
}

/// `base` with `path` below it, whether or not `base` ends in a slash.
pub(crate) fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path.split('/'));
    }
    url
}

/// The innermost error, which names the cause.
pub(crate) fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Corpus;

    #[test]
    fn paths_go_below_the_address() {
        for (base, joined) in [
            ("http://h:1", "http://h:1/WeatherForecast/city"),
            ("http://h:1/", "http://h:1/WeatherForecast/city"),
            ("https://h/gateway", "https://h/gateway/WeatherForecast/city"),
            ("https://h/gateway/", "https://h/gateway/WeatherForecast/city"),
        ] {
            let base: Url = base.parse().expect("a URL");
            assert_eq!(join(&base, "WeatherForecast/city").as_str(), joined);
        }
    }

    #[test]
    fn a_success_that_is_no_forecast_is_malformed() {
        let corpus = Corpus::default();

        for body in ["", "null", "[]", "{\"city\":7}", "<html>"] {
            let failure = judge(StatusCode::OK, body.as_bytes(), corpus.body(0)).expect_err(body);
            assert_eq!(failure.kind, FailureKind::Malformed, "{body}");
        }
    }

    #[test]
    fn if_the_body_names_no_city_the_status_decides() {
        let sent = Body { json: "{}".into(), city: None };

        assert_eq!(judge(StatusCode::OK, b"anything", &sent), Ok(()));
        let failure = judge(StatusCode::UNPROCESSABLE_ENTITY, b"", &sent).expect_err("no success");
        assert_eq!(failure.kind, FailureKind::Status(422));
    }
}
