//! `POST /WeatherForecast/city`: puts a request on the stream and answers with the reply of a worker.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ::weather::WeatherRequest;
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::Response;
use service::http::body::BodyLimits;
use service::http::{body, is_encoded};
use streamgate::codec::{Codec, Json};
use streamgate::envelope::CorrelationId;
use streamgate::requester::{Call, Destination, Requester};

use super::answer::answer_with;
use crate::problem::Failure;

const JSON: &str = "application/json";

/// What the route needs: where its requests go, and the limits of one.
pub struct Forecasts {
    /// Sends requests and waits for their replies.
    pub requester: Requester,
    /// The stream that requests wait on.
    pub to: Destination,
    /// The limits of a request body.
    pub body: BodyLimits,
    /// How long a caller waits for the reply.
    pub timeout: Duration,
}

/// Checks the request, sends it in normal form, and answers with the reply of the worker.
///
/// # Errors
/// The request is refused, or no reply comes.
pub async fn forecast(
    State(forecasts): State<Arc<Forecasts>>,
    Extension(id): Extension<CorrelationId>,
    request: Request,
) -> Result<Response, Failure> {
    forecasts.answer(id, request).await
}

impl Forecasts {
    /// See [`forecast`].
    ///
    /// # Errors
    /// The request is refused, or no reply comes.
    pub async fn answer(&self, id: CorrelationId, request: Request) -> Result<Response, Failure> {
        let (head, body) = request.into_parts();
        if !body::is_json(&head.headers) {
            return Err(Failure::unsupported_media_type(JSON));
        }
        if is_encoded(&head.headers) {
            return Err(Failure::unsupported_encoding());
        }
        let trace = head.extensions.get().copied();
        // Frees the headers and the path, which are not needed while the caller waits.
        drop(head);
        let body = body::read(body, self.body).await?;
        let place = WeatherRequest::parse(body::without_bom(&body))?;
        let body = Json.encode(&place).map_err(|error| Failure::internal(error.to_string()))?;
        let call = Call {
            to: self.to.clone(),
            id,
            trace,
            content_type: Cow::Borrowed(JSON),
            body,
            timeout: self.timeout,
            http: None,
        };
        Ok(answer_with(self.requester.request(call).await?))
    }
}
