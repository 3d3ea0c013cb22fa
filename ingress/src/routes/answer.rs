//! Makes the answer of a caller out of the reply of a worker.

use std::borrow::Cow;
use std::time::Duration;

use ::routes::Route;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::Response;
use bytes::Bytes;
use streamgate::envelope::Reply;
use streamgate::requester::{Answer, Timing};

use crate::problem::{retry_after, wants_retry_after};

/// Carries the times in queue, work and reply.
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The fields of a reply that reach the caller, beside the media type. `x-` fields do, too, except those of [`OURS`];
/// `set-cookie` does if the route passes `cookie` on.
pub(super) const PASSED: [&str; 22] = [
    "accept-patch",
    "accept-post",
    "accept-ranges",
    "age",
    "allow",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-location",
    "content-range",
    "deprecation",
    "etag",
    "expires",
    "last-modified",
    "link",
    "location",
    "preference-applied",
    "sunset",
    "vary",
    "warning",
    "www-authenticate",
];

/// `x-` fields that belong to gateways and proxies, by their beginnings.
const OURS: [&str; 6] = ["x-request-id", "x-api-key", "x-forwarded", "x-real-ip", "x-accel-", "x-sendfile"];

/// The header fields of a reply that reach the caller.
pub(super) fn pass_headers(reply: &Reply, route: &Route) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &reply.headers {
        let ours = || OURS.iter().any(|ours| name.starts_with(ours));
        let passes = PASSED.contains(&name.as_str())
            || (name.starts_with("x-") && !ours())
            || (name == "set-cookie" && route.request.headers.contains(&COOKIE));
        if passes && let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// The answer with the status, the media type and the body of the reply. The reply was checked when it
/// was read from the stream. If its status is still not a valid HTTP status, the worker is at fault: 502.
pub(super) fn answer_with(answer: Answer) -> Response {
    let Answer { reply, timing } = answer;
    let mut response = Response::new(Body::from(reply.body));
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type(reply.content_type));
    headers.insert(SERVER_TIMING, server_timing(timing));
    if wants_retry_after(status) {
        headers.insert(RETRY_AFTER, retry_after(reply.retry_after.unwrap_or_default()));
    }
    response
}

fn content_type(text: Cow<'static, str>) -> HeaderValue {
    let value = match text {
        Cow::Borrowed(text) => return HeaderValue::from_static(text),
        Cow::Owned(text) => HeaderValue::try_from(text),
    };
    value.unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// The times in milliseconds, in the format that browsers show (W3C Server Timing).
fn server_timing(timing: Timing) -> HeaderValue {
    let mut text = Vec::with_capacity(64);
    for (name, time) in
        [("queue;dur=", timing.queue), (", work;dur=", timing.work), (", reply;dur=", timing.reply)]
    {
        text.extend_from_slice(name.as_bytes());
        push_milliseconds(&mut text, time);
    }
    HeaderValue::from_maybe_shared(Bytes::from(text)).unwrap_or(HeaderValue::from_static(""))
}

/// Appends `time` with three decimals. With `write!`, this was 5 % of the work of ingress for a request.
fn push_milliseconds(text: &mut Vec<u8>, time: Duration) {
    let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    text.extend_from_slice(itoa::Buffer::new().format(us / 1_000).as_bytes());
    let digit = |unit: u64| b'0' + (us / unit % 10) as u8;
    text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_timing_is_in_milliseconds_with_three_decimals() {
        let timing = Timing {
            queue: Duration::from_micros(1_002),
            work: Duration::from_millis(2_500),
            reply: Duration::ZERO,
        };

        assert_eq!(server_timing(timing), "queue;dur=1.002, work;dur=2500.000, reply;dur=0.000");
    }
}
