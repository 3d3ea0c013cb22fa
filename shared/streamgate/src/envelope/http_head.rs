use super::EnvelopeError;
use super::header_lines;
use crate::fields::Fields;

/// The head of the HTTP request that a route passes on. Requests of the built-in route have none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpHead {
    /// The id of the route.
    pub route: String,
    /// The method, such as `PUT`.
    pub method: String,
    /// Path and query as the caller sent them, percent-encoded; starts with `/`.
    pub target: String,
    /// Chosen header fields, names in lower case. The media type of the body is not among them.
    pub headers: Vec<(String, String)>,
    /// The caller's `Idempotency-Key`, 1 to 255 visible ASCII characters.
    pub idempotency_key: Option<String>,
    /// If the worker is lost, the work must not be done again.
    pub at_most_once: bool,
}

/// The value of `delivery` for [`HttpHead::at_most_once`].
const AT_MOST_ONCE: &str = "at-most-once";

impl HttpHead {
    /// Calls `put` with each field, in the order of `docs/PROTOCOL.md`. Header fields that are not valid in HTTP are
    /// left out.
    pub(super) fn encode(&self, mut put: impl FnMut(&str, &[u8])) {
        put("route", self.route.as_bytes());
        put("method", self.method.as_bytes());
        put("target", self.target.as_bytes());
        header_lines::put(&self.headers, &mut put);
        if let Some(key) = &self.idempotency_key {
            put("idempotency_key", key.as_bytes());
        }
        if self.at_most_once {
            put("delivery", AT_MOST_ONCE.as_bytes());
        }
    }

    /// Reads the head from the fields of an entry; `None` without a `method`. Header lines that are not valid in HTTP
    /// are dropped.
    pub(super) fn decode(method: Option<&[u8]>, fields: &Fields) -> Result<Option<Box<Self>>, EnvelopeError> {
        let Some(method) = method else { return Ok(None) };
        let names = ["route", "target", "headers", "idempotency_key", "delivery"];
        let [route, target, headers, key, delivery] = fields.pick(names);
        let invalid = |field, rule| EnvelopeError::Invalid { field, rule };
        let target = target.ok_or(EnvelopeError::Missing("target"))?;
        Ok(Some(Box::new(Self {
            route: String::from_utf8_lossy(route.unwrap_or_default()).into_owned(),
            method: visible(method, 32)
                .filter(|method| header_lines::is_token(method))
                .ok_or(invalid("method", "an HTTP method, 1 to 32 characters"))?,
            target: visible(target, LONGEST_TARGET)
                .filter(|target| target.starts_with('/'))
                .ok_or(invalid("target", "a path and query that start with /, visible ASCII"))?,
            headers: headers.map(header_lines::decode).unwrap_or_default(),
            idempotency_key: match key {
                Some(key) => Some(
                    visible(key, 255)
                        .ok_or(invalid("idempotency_key", "1 to 255 visible ASCII characters"))?,
                ),
                None => None,
            },
            at_most_once: delivery == Some(AT_MOST_ONCE.as_bytes()),
        })))
    }
}

/// The longest target, in bytes: more than HTTP servers take.
const LONGEST_TARGET: usize = 64 << 10;

/// The text, if it has 1 to `most` visible ASCII characters and no blank.
fn visible(bytes: &[u8], most: usize) -> Option<String> {
    let fits = (1..=most).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_graphic);
    if fits { String::from_utf8(bytes.to_vec()).ok() } else { None }
}
