use ::weather::WeatherRequest;
use streamgate::codec::{Codec, Json};
use streamgate::envelope::CorrelationId;
use streamgate::responder::{Handler, Response, Work};

use super::{ProviderError, WeatherProvider};

/// Handles requests for the weather with a [`WeatherProvider`].
#[derive(Debug)]
pub struct WeatherHandler<P> {
    provider: P,
}

impl<P: WeatherProvider> WeatherHandler<P> {
    /// A handler that asks `provider`.
    pub fn new(provider: P) -> Self {
        Self { provider }
    }
}

impl<P: WeatherProvider> Handler for WeatherHandler<P> {
    /// Replies 200 with a forecast, or: 422 (the body is no valid request, so its writer did not use the
    /// gateway), 404 (unknown place), 502 (the weather service failed), 503 (a rate limit or an open
    /// circuit), 504 (no time left).
    async fn handle(&self, work: Work) -> Response {
        let id = work.request.id;
        let request = match WeatherRequest::parse(&work.request.body) {
            Ok(request) => request,
            Err(error) => return Response::problem(id, 422, error.to_string()),
        };
        match self.provider.forecast(&request, work.time_left).await {
            Ok(weather) => match Json.encode(&weather.into_forecast(id.as_uuid(), request)) {
                Ok(body) => Response::json(body),
                Err(error) => {
                    tracing::error!(%id, %error, "a forecast could not be encoded");
                    Response::problem(id, 500, "the forecast could not be encoded")
                }
            },
            Err(error) => refusal(id, &request, &error),
        }
    }
}

/// The reply for the caller. Details of the weather service are in the log only, since they may hold
/// internal addresses.
fn refusal(id: CorrelationId, request: &WeatherRequest, error: &ProviderError) -> Response {
    if *error != ProviderError::UnknownPlace {
        tracing::warn!(%id, %error, "the weather provider returned no forecast");
    }
    let wait = match error {
        ProviderError::CircuitOpen { retry_after } | ProviderError::Overloaded { retry_after } => {
            Some(*retry_after)
        }
        _ => None,
    };
    let (status, detail) = match error {
        ProviderError::UnknownPlace => (404, format!("there is no city named `{}`", request.city)),
        ProviderError::Unavailable { .. } => (502, "the weather service is not available".to_owned()),
        ProviderError::BadAnswer { .. } => (502, "the weather service gave no usable answer".to_owned()),
        ProviderError::CircuitOpen { retry_after } => (
            503,
            format!("the weather service keeps failing; try again in {} s", whole_seconds(*retry_after)),
        ),
        ProviderError::Overloaded { retry_after } => (
            503,
            format!(
                "the weather service takes no more requests; try again in {} s",
                whole_seconds(*retry_after)
            ),
        ),
        ProviderError::TimedOut => (504, "the weather service did not answer in time".to_owned()),
    };
    Response { retry_after: wait, ..Response::problem(id, status, detail) }
}

/// Rounded up, so that the caller does not come back too early.
fn whole_seconds(duration: std::time::Duration) -> u64 {
    duration.as_millis().div_ceil(1_000).max(1) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ::weather::Forecast;
    use bytes::Bytes;
    use streamgate::envelope::{Deadline, PROBLEM_JSON, Request};

    use super::*;
    use crate::weather::Weather;
    use crate::weather::simulated::tests::simulated_on;

    struct Fails(ProviderError);

    impl WeatherProvider for Fails {
        async fn forecast(&self, _: &WeatherRequest, _: Duration) -> Result<Weather, ProviderError> {
            Err(self.0.clone())
        }
    }

    fn work(body: &'static [u8]) -> Work {
        let request = Request {
            id: CorrelationId::mint(),
            reply_to: "weather-responses".into(),
            deadline: Deadline::at(0),
            trace: None,
            content_type: "application/json".into(),
            body: Bytes::from_static(body),
            http: None,
        };
        Work { request, attempt: 1, time_left: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn a_valid_request_gets_its_forecast() {
        let handler = WeatherHandler::new(simulated_on("2026-11-21"));
        let work = work(br#"{"city":" New York ","location":"Downtown"}"#);
        let id = work.request.id;

        let response = handler.handle(work).await;

        let forecast: Forecast = Json.decode(&response.body).expect("a forecast");
        assert_eq!((response.status, response.content_type.as_ref()), (200, "application/json"));
        assert_eq!(forecast.request_id, id.as_uuid());
        assert_eq!((forecast.city.as_str(), forecast.location.as_deref()), ("New York", Some("Downtown")));
    }

    #[tokio::test]
    async fn an_invalid_body_is_refused_by_the_worker_too() {
        let handler = WeatherHandler::new(simulated_on("2026-11-21"));

        for body in [&b""[..], b"\xff", b"{\"city\":7}", b"{\"city\":\" \"}", b"[\"Oslo\",null]"] {
            let response = handler.handle(work(body)).await;
            assert_eq!((response.status, response.content_type.as_ref()), (422, PROBLEM_JSON), "{body:?}");
        }
    }

    #[tokio::test]
    async fn each_failure_has_its_status_without_internal_details() {
        let retry_after = Duration::from_millis(1_200);
        let detail = || "http://10.0.0.7 said no".to_owned();
        for (error, status) in [
            (ProviderError::UnknownPlace, 404),
            (ProviderError::Unavailable { detail: detail() }, 502),
            (ProviderError::BadAnswer { detail: detail() }, 502),
            (ProviderError::CircuitOpen { retry_after }, 503),
            (ProviderError::Overloaded { retry_after }, 503),
            (ProviderError::TimedOut, 504),
        ] {
            let response = WeatherHandler::new(Fails(error)).handle(work(b"{\"city\":\"Oslo\"}")).await;

            let body = String::from_utf8(response.body.to_vec()).expect("text");
            assert_eq!(response.status, status, "{body}");
            assert!(!body.contains("10.0.0.7"), "{body}");
            assert_eq!(body.contains("in 2 s"), status == 503, "{body}");
        }
    }
}
