use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, FORWARDED, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use reqwest::{Method, Url};
use routes::{Route, Upstream};
use streamgate::envelope::{HttpHead, Request, TraceContext};

use super::headers;

/// The HTTP request for an upstream; it may be sent several times.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) body: Bytes,
    headers: HeaderMap,
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const ATTEMPT: HeaderName = HeaderName::from_static("streamgate-attempt");
const DEADLINE: HeaderName = HeaderName::from_static("streamgate-deadline");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

impl Outgoing {
    /// The request that `request` makes of `upstream`. A request without an HTTP head, as any program may write it to
    /// the stream, is that of `route` if the route has no parameters.
    ///
    /// # Errors
    /// What is wrong with the request, for its caller.
    pub(super) fn new(
        request: &Request,
        route: Option<&Route>,
        upstream: &Upstream,
    ) -> Result<Self, &'static str> {
        let of_route;
        let head = match (&request.http, route) {
            (Some(head), _) => &**head,
            (None, Some(route)) if route.path.params().next().is_none() => {
                of_route = HttpHead {
                    method: route.methods.first().map_or_else(String::new, ToString::to_string),
                    target: route.path.to_string(),
                    ..HttpHead::default()
                };
                &of_route
            }
            (None, _) => return Err("the request names no method and no target"),
        };
        let method = Method::from_bytes(head.method.as_bytes()).map_err(|_| "the method is not valid")?;
        Ok(Self {
            url: url(&upstream.url, &head.target)?,
            headers: header_fields(request, head, upstream),
            method,
            body: request.body.clone(),
        })
    }

    /// The header fields of the try `attempt`, counted from 1, with this time left.
    pub(super) fn headers(&self, attempt: u32, left: Duration, trace: Option<TraceContext>) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.insert(ATTEMPT, attempt.into());
        let seconds = format!("{}.{:03}", left.as_secs(), left.subsec_millis());
        let mut put = |name, text: String| {
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        put(DEADLINE, seconds);
        if let Some(trace) = trace {
            put(TRACEPARENT, trace.to_string());
        }
        headers
    }
}

fn header_fields(request: &Request, head: &HttpHead, upstream: &Upstream) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("streamgate/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in headers::passed(&head.headers, &upstream.headers.pass) {
        // The first value of the caller replaces ours, the others are added to it.
        match name == USER_AGENT {
            true => drop(headers.insert(name, value)),
            false => drop(headers.append(name, value)),
        }
    }
    if !request.body.is_empty()
        && let Ok(value) = HeaderValue::from_str(&request.content_type)
    {
        headers.insert(CONTENT_TYPE, value);
    }
    // RFC 7239: each proxy adds an element. Ours says nothing of the caller, whose address does not travel.
    headers.append(FORWARDED, HeaderValue::from_static("for=unknown;by=_streamgate"));
    let key = head.idempotency_key.clone().unwrap_or_else(|| request.id.to_string());
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(IDEMPOTENCY_KEY, key);
    }
    for (name, value) in &upstream.headers.set {
        headers.insert(name.clone(), value.clone());
    }
    headers
}

/// The target below the URL of the upstream. A target with dot segments is refused: an upstream that resolves them
/// would serve another path than the one that the route allows.
fn url(base: &Url, target: &str) -> Result<Url, &'static str> {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if !path.starts_with('/') || path.contains('#') {
        return Err("the target is not a path that starts with /");
    }
    if path.split(['/', '\\']).any(is_dot_segment) {
        return Err("the path must not have the segments . and ..");
    }
    let mut url = base.clone();
    // The parser of URLs would make a slash of it.
    let path = format!("{}{path}", base.path().trim_end_matches('/')).replace('\\', "%5C");
    url.set_path(&path);
    url.set_query(query);
    Ok(url)
}

/// True for `.` and `..`, also percent-encoded.
fn is_dot_segment(segment: &str) -> bool {
    let plain = segment.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: &str, target: &str) -> Result<String, &'static str> {
        url(&Url::parse(base).expect("a URL"), target).map(|url| url.to_string())
    }

    #[test]
    fn the_target_is_put_below_the_url_of_the_upstream() {
        for (base, target, expected) in [
            ("http://h:1", "/", "http://h:1/"),
            ("http://h:1/", "/a?b=c", "http://h:1/a?b=c"),
            ("http://h:1/api/", "/a//b/", "http://h:1/api/a//b/"),
            ("http://h:1/api", "/%2F%20é", "http://h:1/api/%2F%20%C3%A9"),
            ("http://h:1", "/a?", "http://h:1/a?"),
            ("http://h:1", "/a?x=/../y&u=http://e/", "http://h:1/a?x=/../y&u=http://e/"),
            ("http://h:1", "//evil.example/", "http://h:1//evil.example/"),
            ("http://h:1", "/@evil.example", "http://h:1/@evil.example"),
            ("http://h:1/api", "/a\\b", "http://h:1/api/a%5Cb"),
        ] {
            assert_eq!(at(base, target).as_deref(), Ok(expected), "{base} {target}");
        }
    }

    #[test]
    fn a_target_cannot_leave_the_url_of_the_upstream() {
        for target in [
            "/..",
            "/a/../b",
            "/./a",
            "/%2e%2E/a",
            "/.%2e/",
            "/a\\..\\b",
            "a",
            "",
            "http://evil.example/",
            "/a#b",
        ] {
            assert!(at("http://h:1/api/v1", target).is_err(), "{target}");
        }
    }
}
