//! Every error of the gateway becomes an HTTP answer here: RFC 9457 problem details.
//!
//! A worker's own errors are replies and pass through unread; what is decided here is what the
//! gateway itself has to refuse or to give up.

use std::any::Any;
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use service::http::host::HostError;
use streamgate::envelope::{CorrelationId, FieldError, PROBLEM_JSON, Problem};
use streamgate::requester::{RequestError, RequestErrorKind};
use weather::ParseError;

use crate::body::BodyError;

/// Why there is no other answer: a status, what to tell the caller, and the headers the status
/// calls for.
///
/// As a response it is only a note for [`crate::answer`], which knows the id and renders it.
#[derive(Debug, Clone)]
pub struct Failure {
    status: StatusCode,
    detail: String,
    errors: Vec<FieldError>,
    /// Kept for 503 and 429.
    retry_after: Duration,
    /// What a 415 would have accepted.
    accepted: Option<Accepted>,
    /// For the log alone.
    cause: Option<String>,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// What would have been accepted.
#[derive(Debug, Clone, Copy)]
enum Accepted {
    MediaType(&'static str),
    Unencoded,
}

impl Failure {
    /// Nothing is at this path.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "nothing is here; /swagger shows what this gateway offers")
    }

    /// The path exists, the method does not. The router adds the `Allow` header (RFC 9110, 15.5.6).
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path does not accept this method; the allow header lists those it does",
        )
    }

    /// A browser asks whether a page may call, and none may.
    pub fn cors_is_off() -> Self {
        let detail =
            "web pages may not call this gateway: CORS is off; set CORS_ALLOWED_ORIGINS to turn it on";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, detail)
    }

    /// The body is not in a format this route reads.
    pub fn unsupported_media_type(accepted: &'static str) -> Self {
        let detail = format!("send the body as {accepted} (in UTF-8) and say so in content-type");
        Self {
            accepted: Some(Accepted::MediaType(accepted)),
            ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
        }
    }

    /// The body has a content coding, and the gateway decodes none.
    pub fn unsupported_encoding() -> Self {
        let detail = "send the body without a content-encoding";
        let accepted = Some(Accepted::Unencoded);
        Self { accepted, ..Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail) }
    }

    /// There is no API key, or no valid one. Whoever says so adds `WWW-Authenticate`.
    pub fn unauthorized(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// An API key was used too often; the next request may come after `wait`.
    pub fn rate_limited(wait: Duration) -> Self {
        let detail = "this API key is over its rate limit: nothing was done; try again later";
        Self { retry_after: wait, ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// The process should not get traffic now; `missing` names the parts it waits for.
    pub fn not_ready(missing: &[&str]) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}", missing.join(", ")))
    }

    /// A defect in the gateway; `cause` is for its log.
    pub fn internal(cause: impl Into<String>) -> Self {
        let detail = "the gateway failed; its log has this request id";
        Self { cause: Some(cause.into()), ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail) }
    }

    /// The answer in place of one that panicked. A request owns its state, so nothing half-done is
    /// left for others to see.
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
        // RFC 9110, 12.5.1 and 15.5.16: a 415 says what it takes.
        match self.accepted {
            Some(Accepted::MediaType(media_type)) => {
                headers.insert(ACCEPT, HeaderValue::from_static(media_type));
            }
            Some(Accepted::Unencoded) => {
                headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            }
            None => {}
        }
        response
    }

    /// One line for the log: loud for a defect, quiet for what a caller can cause.
    pub fn log(&self, id: CorrelationId, route: &str) {
        let (status, detail) = (self.status.as_u16(), &self.detail);
        match &self.cause {
            Some(cause) => tracing::error!(%id, route, status, cause, "a request failed here"),
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

/// True for the statuses that tell a caller to come back later.
pub fn wants_retry_after(status: StatusCode) -> bool {
    matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
}

/// `wait` as the header carries it: whole seconds, rounded up, at least 1 (0 would ask for a
/// hot loop).
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
                Self::unprocessable(vec![FieldError { field, detail }])
            }
            ParseError::Invalid(violations) => Self::unprocessable(
                violations
                    .into_iter()
                    .map(|v| FieldError { field: v.field.to_owned(), detail: v.detail })
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
            RequestErrorKind::Unconfirmed => {
                (StatusCode::SERVICE_UNAVAILABLE, "the work may be done all the same")
            }
            RequestErrorKind::DeadlinePassed => {
                (StatusCode::GATEWAY_TIMEOUT, "the work may have been done all the same")
            }
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
    async fn a_problem_names_its_status_its_title_and_the_request() {
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
    async fn all_invalid_values_are_listed_with_their_fields() {
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
    async fn each_missed_reply_has_its_status_and_503_a_time_to_return() {
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
    async fn a_wrong_media_type_says_what_is_right() {
        let (media, _) = rendered(Failure::unsupported_media_type("application/json")).await;

        assert_eq!(media.headers()[ACCEPT], "application/json");
    }

    #[tokio::test]
    async fn the_cause_of_a_defect_is_not_told_to_the_caller() {
        let (response, body) = rendered(Failure::internal("secret")).await;

        assert_eq!(response.status(), 500);
        assert!(!body.to_string().contains("secret"), "{body}");
    }
}
