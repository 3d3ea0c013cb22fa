use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

use super::{CorrelationId, Deadline, EnvelopeError, HttpHead, TraceContext};
use crate::fields::{Fields, number};

/// A request on the stream: its payload, the stream for its reply, and its deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Joins the reply to this request.
    pub id: CorrelationId,
    /// The stream that the reply goes to.
    pub reply_to: Arc<str>,
    /// How long the caller waits.
    pub deadline: Deadline,
    /// The trace this work belongs to, if the requester named one.
    pub trace: Option<TraceContext>,
    /// Media type of `body`.
    pub content_type: Cow<'static, str>,
    /// The payload; the gateway passes it on without reading it.
    pub body: Bytes,
    /// The HTTP request that a route passes on. The built-in route needs none.
    pub http: Option<Box<HttpHead>>,
}

impl Request {
    /// Calls `put` with each field, in the order of `docs/PROTOCOL.md`.
    pub fn encode(&self, mut put: impl FnMut(&str, &[u8])) {
        put("id", self.id.encode(&mut [0; 36]).as_bytes());
        put("reply_to", self.reply_to.as_bytes());
        put("deadline", itoa::Buffer::new().format(self.deadline.unix_ms()).as_bytes());
        if let Some(trace) = &self.trace {
            put("traceparent", trace.to_string().as_bytes());
        }
        if self.content_type != JSON {
            put("content_type", self.content_type.as_bytes());
        }
        put("body", &self.body);
        if let Some(http) = &self.http {
            http.encode(put);
        }
    }

    /// Reads a request from the fields of an entry.
    ///
    /// A missing or malformed `deadline` becomes `fallback` (entry time plus the request timeout);
    /// a malformed `traceparent` and malformed header lines are dropped; unknown fields are ignored.
    ///
    /// # Errors
    /// `id`, `reply_to` or `body` is missing, or `id` is no UUID, or a text field is not UTF-8, or there is a `method`
    /// but it, `target` or `idempotency_key` is not valid in HTTP.
    pub fn decode(fields: &Fields, fallback: Deadline) -> Result<Self, EnvelopeError> {
        let names = ["id", "reply_to", "deadline", "traceparent", "content_type", "body", "method"];
        let [id, reply_to, deadline, trace, content_type, body, method] = fields.pick(names);
        let trace = trace.and_then(|trace| std::str::from_utf8(trace).ok());
        Ok(Self {
            id: id_of(id)?,
            reply_to: text(reply_to, "reply_to")?.into(),
            deadline: deadline.and_then(number).map_or(fallback, Deadline::at),
            trace: trace.and_then(TraceContext::parse),
            content_type: content_type_of(content_type)?,
            body: fields.share(body.ok_or(EnvelopeError::Missing("body"))?),
            http: HttpHead::decode(method, fields)?,
        })
    }
}

/// The media type of a message without a `content_type`.
pub(super) const JSON: &str = "application/json";

/// The `id` field, shared by requests and replies.
pub(super) fn id_of(value: Option<&[u8]>) -> Result<CorrelationId, EnvelopeError> {
    let bytes = value.ok_or(EnvelopeError::Missing("id"))?;
    CorrelationId::from_bytes(bytes)
        .ok_or(EnvelopeError::Invalid { field: "id", rule: "a UUID, 36 characters with hyphens" })
}

/// The `content_type` field; JSON if the field is absent. It becomes an HTTP header, so it must be one
/// line of visible ASCII.
pub(super) fn content_type_of(value: Option<&[u8]>) -> Result<Cow<'static, str>, EnvelopeError> {
    let Some(value) = value else {
        return Ok(Cow::Borrowed(JSON));
    };
    match std::str::from_utf8(value) {
        Ok(JSON) => Ok(Cow::Borrowed(JSON)),
        Ok(text) if is_media_type(value) => Ok(Cow::Owned(text.to_owned())),
        _ => Err(EnvelopeError::Invalid { field: "content_type", rule: "1 to 255 visible ASCII characters" }),
    }
}

/// True if `text` is valid in a `content-type` header: 1 to 255 visible ASCII characters.
pub fn is_media_type(text: &[u8]) -> bool {
    (1..=255).contains(&text.len()) && text.iter().all(|b| (0x20..0x7f).contains(b))
}

fn text<'a>(value: Option<&'a [u8]>, field: &'static str) -> Result<&'a str, EnvelopeError> {
    let bytes = value.ok_or(EnvelopeError::Missing(field))?;
    std::str::from_utf8(bytes).map_err(|_| EnvelopeError::Invalid { field, rule: "UTF-8 text" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            id: CorrelationId::mint(),
            reply_to: "weather-responses".into(),
            deadline: Deadline::at(1_763_683_200_000),
            trace: Some(TraceContext { trace_id: 7, parent_id: 9, flags: 1 }),
            content_type: "application/json".into(),
            body: Bytes::from_static(b"{\"city\":\"Oslo\"}"),
            http: None,
        }
    }

    fn encode(request: &Request) -> Fields {
        let mut fields = Vec::new();
        request.encode(|name, value| fields.push((name.to_owned(), value.to_vec())));
        Fields::from_iter(fields)
    }

    #[test]
    fn a_decoded_request_equals_the_encoded_one() {
        let request = request();

        let decoded = Request::decode(&encode(&request), Deadline::at(0));

        assert_eq!(decoded, Ok(request));
    }

    fn head() -> HttpHead {
        HttpHead {
            route: "create-order".to_owned(),
            method: "PUT".to_owned(),
            target: "/orders/7?draft=%20".to_owned(),
            headers: vec![("accept-language".to_owned(), "de".to_owned())],
            idempotency_key: Some("k-1".to_owned()),
            at_most_once: true,
        }
    }

    #[test]
    fn a_decoded_http_request_equals_the_encoded_one() {
        let few = HttpHead { headers: vec![], idempotency_key: None, at_most_once: false, ..head() };
        for head in [head(), few] {
            let request = Request { http: Some(Box::new(head)), ..request() };

            assert_eq!(Request::decode(&encode(&request), Deadline::at(0)), Ok(request));
        }
    }

    #[test]
    fn a_request_without_an_http_head_has_the_same_bytes_as_before() {
        let names: Vec<_> =
            encode(&request()).iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect();

        assert_eq!(names, ["id", "reply_to", "deadline", "traceparent", "body"]);
    }

    #[test]
    fn an_http_head_that_is_not_valid_in_http_is_refused() {
        let good = Request { http: Some(Box::new(head())), ..request() };
        let cases = [
            ("method", "GET /"),
            ("method", ""),
            ("target", "orders"),
            ("target", "/a b"),
            ("target", "/a\r\nx-evil: 1"),
            ("idempotency_key", "a\nb"),
            ("idempotency_key", ""),
        ];
        for (field, value) in cases {
            let fields: Fields = encode(&good)
                .iter()
                .map(|(name, old)| (name, if name == field.as_bytes() { value.as_bytes() } else { old }))
                .collect();

            let decoded = Request::decode(&fields, Deadline::at(0));

            assert!(
                matches!(decoded, Err(EnvelopeError::Invalid { field: wrong, .. }) if wrong == field),
                "{value:?}"
            );
        }
    }

    #[test]
    fn a_malformed_deadline_falls_back_to_entry_time_plus_timeout() {
        let fields: Fields = encode(&request())
            .iter()
            .map(|(name, value)| {
                let value = if name == b"deadline" { b"soon" } else { value };
                (name, value)
            })
            .collect();

        let decoded = Request::decode(&fields, Deadline::at(42)).expect("still a request");

        assert_eq!(decoded.deadline, Deadline::at(42));
    }

    #[test]
    fn an_error_names_the_missing_or_invalid_field() {
        let id = CorrelationId::mint().to_string();
        let cases: [(Fields, &str); 4] = [
            (Fields::default(), "field `id` is missing"),
            (Fields::from_iter([("id", "7")]), "field `id` is invalid: a UUID, 36 characters with hyphens"),
            (Fields::from_iter([("id", id.clone())]), "field `reply_to` is missing"),
            (Fields::from_iter([("id", id), ("reply_to", "r".into())]), "field `body` is missing"),
        ];

        for (fields, message) in cases {
            let error = Request::decode(&fields, Deadline::at(0)).expect_err(message);
            assert_eq!(error.to_string(), message);
        }
    }
}
