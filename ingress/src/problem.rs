//! Turns every error of the gateway into an HTTP answer: RFC 9457 problem details.
//!
//! Errors of a worker are replies, which the gateway returns without parsing them. This file is about
//! requests that the gateway itself refuses or gives up.

use std::any::Any;
use std::borrow::Cow;
use std::time::Duration;

use ::routes::BodyFault;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use service::http::body::BodyError;
use service::http::host::HostError;
use streamgate::envelope::{CorrelationId, FieldError, PROBLEM_JSON, Place, Problem};
use streamgate::requester::{RequestError, RequestErrorKind};
use weather::ParseError;

/// Why the gateway refuses a request or gives it up: a status, the text for the caller, and the headers
/// that the status needs.
///
/// [`crate::answer_layer`] renders it, because a handler does not know the correlation id. The response of
/// [`IntoResponse`] only carries it there.
#[derive(Debug, Clone)]
pub struct Failure {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    /// Sent with 503 and 429 only.
    retry_after: Duration,
    /// What a request with status 415 should have sent.
    accepted: Option<Accepted>,
    /// Written to the log, never sent to the caller.
    cause: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What the route accepts.
#[derive(Debug, Clone)]
enum Accepted {
    MediaType(Cow<'static, str>),
    Unencoded,
}

impl Failure {
    /// There is no route for this path.
    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "there is nothing at this path; see /swagger for the API of this gateway",
        )
    }

    /// The path does not accept this method. The router adds the `Allow` header (RFC 9110, 15.5.6).
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not accept this method; the allow header lists the methods it accepts",
        )
    }

    /// A browser asks whether a web page may send requests, but CORS is off.
    pub fn cors_is_off() -> Self {
        let detail =
            "web pages may not send requests to this gateway: CORS is off; CORS_ALLOWED_ORIGINS turns it on";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// A browser asks whether a web page may send requests, but CORS is off on this path.
    pub fn cors_is_off_here() -> Self {
        let detail =
            "web pages may not send requests to this path: CORS is off; cors in the routes file turns it on";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// The body has a media type that this route does not accept.
    pub fn unsupported_media_type(accepted: &'static str) -> Self {
        let detail =
            format!("send the body as {accepted} in UTF-8, with the header content-type: {accepted}");
        Self {
            accepted: Some(Accepted::MediaType(accepted.into())),
            ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        }
    }

    /// The body has a media type that is none of those that its route accepts.
    pub fn none_of_the_media_types(accepted: &[String]) -> Self {
        let accepted = accepted.join(", ");
        let detail = format!("send the body with a content-type that this path accepts: {accepted}");
        let accepted = Some(Accepted::MediaType(accepted.into()));
        Self { accepted, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// The body breaks the schema of its route.
    pub fn body_breaks_schema(faults: Vec<BodyFault>) -> Self {
        let error =
            |fault: BodyFault| FieldError { place: Place::Pointer(fault.pointer), detail: fault.detail };
        let errors = faults.into_iter().map(error).collect();
        Self { errors, ..Self::bad_request("the body breaks the rules listed in errors") }
    }

    /// The request cannot be understood; `detail` says what to send.
    pub fn bad_request(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The reply of the worker is not what its route promises.
    pub fn bad_reply() -> Self {
        let detail = "the answer of the service breaks the schema of this route: the work may have been done";
        Self::new(StatusCode::BAD_GATEWAY, detail)
    }

    /// The API key is valid, but lacks a scope that the route demands. The calling function adds `WWW-Authenticate`.
    pub fn forbidden(scope: &str) -> Self {
        let detail = format!("this API key lacks the scope {scope}; ask the operator of this service for it");
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// As many requests of the API key wait as may.
    pub fn too_many_waiting(most: usize) -> Self {
        let detail = format!(
            "{most} requests of this API key wait already, which is the most: nothing was done; try again later"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail)
    }

    /// The body has a content coding, which the gateway does not decode.
    pub fn unsupported_encoding() -> Self {
        let detail = "send the body without a content-encoding";
        let accepted = Some(Accepted::Unencoded);
        Self { accepted, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// The API key is missing or not valid. The calling function adds `WWW-Authenticate`.
    pub fn unauthorized(detail: String) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// The API key is over its rate limit; the next request may come after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        let detail = "this API key is over its rate limit: nothing was done; try again later";
        Self { retry_after: wait, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// The process should get no traffic now; `missing` names the parts that are not ready.
    pub fn not_ready(missing: &[&str]) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", missing.join(", ")))
    }

    /// A defect in the gateway; `cause` is written to its log.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "the gateway failed; its log shows the cause under this request id";
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail) }
    }

    /// The answer if the handler panicked. A request owns its state, so a panic leaves no broken state for
    /// other requests.
    pub fn of_panic(panic: Box<dyn Any + Send>) -> Response {
        let text = panic.downcast_ref::<&'static str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::internal(format!("panic: {}", text.unwrap_or("no message"))).into_response()
    }

    /// The answer to the request with the correlation id `id`.
    pub fn render(self, id: CorrelationId) -> Response {
        let problem =
            Problem::new(self.status.as_u16(), self.detail).for_request(id).with_errors(self.errors);
        let mut response = Response::new(Body::from(problem.to_body()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if wants_retry_after(self.status) {
            headers.insert(RETRY_AFTER, retry_after(self.retry_after));
        }
        // RFC 9110, 12.5.1 and 15.5.16: a 415 names what the route accepts.
        match self.accepted {
            Some(Accepted::MediaType(media_types)) => {
                headers.extend(HeaderValue::try_from(&*media_types).map(|accepted| (ACCEPT, accepted)));
            }
            Some(Accepted::Unencoded) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            None => {}
        }
        response
    }

    /// Writes one line to the log: at level error for a defect, at level debug for errors that callers can
    /// cause.
    pub fn log(&self, id: CorrelationId, route: &str) {
        let (status, detail) = (self.status.as_u16(), &self.detail);
        match &self.cause {
            Some(cause) => tracing::error!(%id, route, status, cause, "a request failed because of a defect"),
            None => tracing::debug!(%id, route, status, detail, "a request failed"),
        }
    }

    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: Duration::from_secs(1),
            accepted: None,
            cause: None,
        }
    }
}

/// True for the statuses that tell a caller to try again later.
pub fn wants_retry_after(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// `wait` for the header: whole seconds, rounded up, at least 1. With 0, callers would try again in a
/// loop without a pause.
pub fn retry_after(wait: Duration) -> HeaderValue {
    HeaderValue::from((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }
}

impl From<BodyError> for Failure {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TimedOut { .. } => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        Self::new(status, error.to_string())
    }
}

impl From<ParseError> for Failure {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Malformed(detail) => {
                Self::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {detail}"))
            }
            ParseError::WrongShape { field: None, detail } => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            ParseError::WrongShape { field: Some(field), detail } => {
                Self::unprocessable(vec![FieldError { place: Place::Field(field), detail }])
            }
            ParseError::Invalid(violations) => Self::unprocessable(
                violations
                    .into_iter()
                    .map(|v| FieldError { place: Place::Field(v.field.to_owned()), detail: v.detail })
                    .collect(),
            ),
        }
    }
}

impl Failure {
    fn unprocessable(errors: Vec<FieldError>) -> Self {
        let detail = "the request breaks the rules listed in errors";
        Self { errors, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let (status, consequence) = match error.kind {
            RequestErrorKind::Overloaded
            | RequestErrorKind::QueueTooLong
            | RequestErrorKind::NoWorker
            | RequestErrorKind::Unavailable
            | RequestErrorKind::Draining => {
                (StatusCode::SERVICE_UNAVAILABLE, "nothing was done; try again later")
            }
            RequestErrorKind::Unconfirmed => (StatusCode::SERVICE_UNAVAILABLE, "the work may still be done"),
            RequestErrorKind::DeadlinePassed => (StatusCode::GATEWAY_TIMEOUT, "the work may have been done"),
        };
        let failure = Self::new(status, format!("{}: {consequence}", error.kind));
        Self { retry_after: error.retry_after.unwrap_or(failure.retry_after), ..failure }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn rendered(failure: Failure) -> (Response<()>, serde_json::Value) {
        let (head, body) = failure.render(CorrelationId::mint()).into_parts();
        let body = body.collect().await.expect("in memory").to_bytes();
        (Response::from_parts(head, ()), serde_json::from_slice(&body).expect("JSON"))
    }

    fn request_error(kind: RequestErrorKind, retry_after: Option<Duration>) -> Failure {
        RequestError { kind, retry_after }.into()
    }

    #[tokio::test]
    async fn a_problem_has_its_status_its_title_and_the_request_id() {
        let id = CorrelationId::mint();

        let response = Failure::not_found().render(id);

        assert_eq!(response.status(), 404);
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let body = response.into_body().collect().await.expect("in memory").to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(body["status"], 404);
        assert_eq!(body["title"], "Not Found");
        assert_eq!(body["requestId"], id.to_string());
        assert!(body.get("errors").is_none(), "{body}");
    }

    #[tokio::test]
    async fn every_invalid_value_is_listed_with_its_field() {
        let violation = |field| weather::FieldViolation { field, detail: "is wrong".to_owned() };

        let (response, body) =
            rendered(ParseError::Invalid(vec![violation("city"), violation("location")]).into()).await;

        assert_eq!(response.status(), 422);
        assert_eq!(body["errors"][0]["field"], "city");
        assert_eq!(body["errors"][1], serde_json::json!({"field": "location", "detail": "is wrong"}));
    }

    #[tokio::test]
    async fn malformed_json_is_400_and_a_wrong_shape_422() {
        let malformed = ParseError::Malformed("line 1".to_owned());
        let shape =
            ParseError::WrongShape { field: Some("city".to_owned()), detail: "is missing".to_owned() };

        let (malformed, _) = rendered(malformed.into()).await;
        let (shape, body) = rendered(shape.into()).await;

        assert_eq!(malformed.status(), 400);
        assert_eq!(shape.status(), 422);
        assert_eq!(body["errors"][0]["field"], "city");
    }

    #[tokio::test]
    async fn each_request_error_has_its_status_and_503_a_retry_after() {
        for (kind, status, retry_after) in [
            (RequestErrorKind::Overloaded, 503, Some("3")),
            (RequestErrorKind::QueueTooLong, 503, Some("3")),
            (RequestErrorKind::NoWorker, 503, Some("3")),
            (RequestErrorKind::Unavailable, 503, Some("3")),
            (RequestErrorKind::Unconfirmed, 503, Some("3")),
            (RequestErrorKind::Draining, 503, Some("3")),
            (RequestErrorKind::DeadlinePassed, 504, None),
        ] {
            let (response, _) = rendered(request_error(kind, Some(Duration::from_millis(2_001)))).await;

            assert_eq!(response.status(), status, "{kind:?}");
            let header = response.headers().get(RETRY_AFTER).map(|v| v.to_str().expect("text"));
            assert_eq!(header, retry_after, "{kind:?}");
        }
    }

    #[tokio::test]
    async fn retry_after_is_never_below_one_second() {
        for wait in [None, Some(Duration::ZERO), Some(Duration::from_millis(1)), Some(Duration::from_secs(1))]
        {
            let (response, _) = rendered(request_error(RequestErrorKind::Overloaded, wait)).await;

            assert_eq!(response.headers()[RETRY_AFTER], "1", "{wait:?}");
        }
    }

    #[tokio::test]
    async fn a_415_names_the_accepted_media_type() {
        let (media, _) = rendered(Failure::unsupported_media_type("application/json")).await;

        assert_eq!(media.headers()[ACCEPT], "application/json");
    }

    #[tokio::test]
    async fn the_cause_of_a_defect_is_not_sent_to_the_caller() {
        let (response, body) = rendered(Failure::internal("secret")).await;

        assert_eq!(response.status(), 500);
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}
