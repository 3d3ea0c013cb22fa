use bytes::Bytes;
use serde::Serialize;

use super::CorrelationId;

/// The media type of [`Problem`] (RFC 9457).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// An error in an HTTP answer: RFC 9457 problem details.
///
/// Ingress sends it as the body of an answer; a worker sends it as the body of a reply.
#[derive(Debug, Clone, Serialize)]
pub struct Problem {
    /// A short name of the kind of problem; each status has one title.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What happened to this request, and what the caller can do next.
    pub detail: String,
    /// The correlation id of the request, if the request already has one.
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<CorrelationId>,
    /// All fields that do not follow their rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One value that does not follow its rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Where it is in the request body: a member `field` or `pointer`.
    #[serde(flatten)]
    pub place: Place,
    /// The rule it broke.
    pub detail: String,
}

/// The place of a value in a request body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The name of a field of the object that is the body.
    Field(String),
    /// A JSON Pointer (RFC 6901); empty for the whole body.
    Pointer(String),
}

impl Problem {
    /// A problem with the standard title of `status` and no field errors.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self { title: title_of(status), status, detail: detail.into(), request_id: None, errors: Vec::new() }
    }

    /// Names the request this is about.
    #[must_use]
    pub fn for_request(mut self, id: CorrelationId) -> Self {
        self.request_id = Some(id);
        self
    }

    /// Sets the fields that do not follow their rules.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The JSON body.
    pub fn to_body(&self) -> Bytes {
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Reason phrases of RFC 9110 for the statuses this product answers with.
fn title_of(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Error",
    }
}
