//! What single texts must be: names, paths, header fields, addresses.

use http::{HeaderName, HeaderValue, Method};
use streamgate::stream::{ConsumerGroup, StreamKey};
use url::Url;

use crate::path::PathPattern;
use crate::route::Priority;

/// A rule for a text: its check in words, and its pattern for editors (empty for none).
pub(super) struct Rule {
    pub(super) check: fn(&str) -> Result<(), String>,
    pub(super) pattern: &'static str,
}

pub(super) static ANY: Rule = Rule { check: |_| Ok(()), pattern: "" };
pub(super) static ID: Rule = Rule { check: id, pattern: "^[A-Za-z0-9._-]{1,64}$" };
pub(super) static METHOD: Rule =
    Rule { check: |text| method(text).map(drop), pattern: "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$" };
pub(super) static PATH: Rule = Rule { check: path, pattern: "^/" };
pub(super) static STREAM: Rule = Rule { check: stream, pattern: "^[!-~]{1,251}$" };
pub(super) static GROUP: Rule = Rule { check: group, pattern: "^[!-~]{1,128}$" };
pub(super) static SCOPE: Rule = Rule { check: scope, pattern: "^[A-Za-z0-9._:-]{1,64}$" };
pub(super) static FIELD: Rule = Rule { check: field, pattern: FIELD_PATTERN };
pub(super) static ANY_FIELD: Rule = Rule { check: |text| any_field(text).map(drop), pattern: FIELD_PATTERN };
pub(super) static MEDIA_TYPE: Rule = Rule { check: media_type, pattern: "^[^/; ]+/[^/; ]+$" };
pub(super) static ORIGIN: Rule = Rule { check: origin, pattern: r"^(\*|https?://[^/]+)$" };
pub(super) static URL: Rule = Rule { check: |text| url(text).map(drop), pattern: "^https?://" };

const FIELD_PATTERN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$";

/// The methods that a route can have.
pub(super) const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Fields that belong to one connection, to the body or to the gateway itself.
const MANAGED: [&str; 19] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "idempotency-key",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Paths of the gateway itself; those that end with `/` with all below.
const RESERVED: [&str; 8] =
    ["/healthz", "/livez", "/readyz", "/openapi.json", "/api-docs/", "/swagger", "/swagger/", "/requests/"];

/// The method of that name.
pub(super) fn method(text: &str) -> Result<Method, String> {
    let known = METHODS.contains(&text);
    known.then(|| text.parse().ok()).flatten().ok_or_else(|| {
        let hint =
            METHODS.iter().find(|name| name.eq_ignore_ascii_case(text)).or_else(|| nearest(text, &METHODS));
        let hint = hint.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
        format!("must be one of {}{hint}", METHODS.join(", "))
    })
}

/// The address of an upstream.
pub(super) fn url(text: &str) -> Result<Url, String> {
    let rule = || "must be an address such as http://billing:8080 or https://api.example.org/v2".to_owned();
    let url: Url = text.parse().map_err(|_| rule())?;
    if !matches!(url.scheme(), "http" | "https")
        || url.host_str().is_none_or(str::is_empty)
        || url.port() == Some(0)
    {
        return Err(rule());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not have credentials: put them in headers, set, authorization".to_owned());
    }
    match (url.query(), url.fragment()) {
        (None, None) => Ok(url),
        _ => Err("must not have a query or a fragment: the query of the request is sent".to_owned()),
    }
}

fn id(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let good = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
    if good { Ok(()) } else { Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned()) }
}

fn scope(text: &str) -> Result<(), String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    let good = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
    if good { Ok(()) } else { Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ - :".to_owned()) }
}

fn path(text: &str) -> Result<(), String> {
    text.parse::<PathPattern>().map_err(|error| error.to_string())?;
    let taken = |own: &str| match own.strip_suffix('/') {
        Some(folder) => text == folder || text.starts_with(own),
        None => text == own,
    };
    match RESERVED.into_iter().find(|own| taken(own)) {
        Some(_) => Err(format!("must not be a path of the gateway itself ({})", RESERVED.join(", "))),
        None => Ok(()),
    }
}

fn stream(text: &str) -> Result<(), String> {
    let key: StreamKey =
        text.parse().map_err(|error: streamgate::stream::InvalidStreamKey| error.to_string())?;
    if Priority::ALL.iter().any(|priority| *priority != Priority::Normal && priority.stream(&key) == key) {
        return Err(
            "must have at most 251 characters: streams of other priorities have its name and a suffix"
                .to_owned(),
        );
    }
    if text.ends_with(":dlq") {
        return Err("must not end with :dlq, as streams of dead letters do".to_owned());
    }
    Ok(())
}

fn group(text: &str) -> Result<(), String> {
    ConsumerGroup::check_name(text).map_err(|rule| rule.to_string())
}

fn any_field(text: &str) -> Result<HeaderName, String> {
    let name = text.parse().ok().filter(|_| text.len() <= 128);
    name.ok_or_else(|| "must be the name of a header field, such as accept-language".to_owned())
}

fn field(text: &str) -> Result<(), String> {
    let name = any_field(text)?;
    if MANAGED.contains(&name.as_str()) || name.as_str().starts_with("streamgate-") {
        return Err("must not be a field that the gateway or the connection sets itself".to_owned());
    }
    Ok(())
}

fn media_type(text: &str) -> Result<(), String> {
    let token = |part: &str| part.parse::<HeaderName>().is_ok();
    match text.split_once('/') {
        Some((kind, subtype)) if token(kind) && kind != "*" && token(subtype) => Ok(()),
        _ => Err("must be a media type without parameters, such as application/json or image/*".to_owned()),
    }
}

/// An origin is what a browser sends: scheme, host and port in their normal form.
fn origin(text: &str) -> Result<(), String> {
    let normal = |url: Url| url.origin().is_tuple() && url.origin().ascii_serialization() == text;
    let web = text.starts_with("http://") || text.starts_with("https://");
    if text == "*" || web && HeaderValue::from_str(text).is_ok() && text.parse().is_ok_and(normal) {
        return Ok(());
    }
    Err("must be * or an origin as a browser sends it, such as https://app.example.org or http://localhost:3000".to_owned())
}

/// The name that `text` is probably meant to be.
pub(super) fn nearest<'n>(text: &str, names: &'n [&'static str]) -> Option<&'n &'static str> {
    names.iter().filter(|name| is_near(text, name)).min_by_key(|name| distance(text, name))
}

/// True if `text` is probably meant to be `name`.
pub(super) fn is_near(text: &str, name: &str) -> bool {
    distance(text, name) <= if name.len() <= 3 { 1 } else { name.len().div_ceil(3).min(3) }
}

/// How many letters differ (Levenshtein). Only the start of a long text counts, which is far from every name.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(40).collect(), b.chars().collect());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(!from.eq_ignore_ascii_case(to));
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
