//! The layer that checks API keys. It runs before the body is read and sends nothing to Redis, so a
//! refused request costs very little.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use streamgate::envelope::CorrelationId;

use super::{ApiKeys, Key};
use crate::problem::Failure;

/// Carries a key if `authorization` is used for something else, for example by a proxy.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest key that is hashed. Keys of `ingress new-key` have 68 characters.
const LONGEST_KEY: usize = 512;

/// Passes a request on if its key is valid and within its rate limit. The headers of the answer show
/// the rest of the limit.
pub async fn guard(State(keys): State<Arc<ApiKeys>>, request: Request, next: Next) -> Response {
    let key = match identify(&keys, request.headers()) {
        Ok(key) => key,
        Err(refusal) => {
            keys.metrics.unauthorized.increment(1);
            return refusal.into_response();
        }
    };
    let id = request.extensions().get::<CorrelationId>().copied();
    tracing::debug!(id = id.map(tracing::field::display), key = key.line.name, "presented a key");
    let Some(limiter) = &key.limiter else {
        key.metrics.authorized.increment(1);
        return next.run(request).await;
    };
    let taken = limiter.take();
    let mut response = match taken {
        Ok(_) => {
            key.metrics.authorized.increment(1);
            next.run(request).await
        }
        Err(wait) => {
            key.metrics.rate_limited.increment(1);
            Failure::rate_limited(wait).into_response()
        }
    };
    limiter.announce(taken, response.headers_mut());
    response
}

fn identify(keys: &ApiKeys, headers: &HeaderMap) -> Result<Arc<Key>, Refusal> {
    let presented = presented(headers)?;
    if presented.len() > LONGEST_KEY {
        return Err(Refusal::Wrong);
    }
    keys.find(presented).ok_or(Refusal::Wrong)
}

/// The key in `x-api-key`, else in `authorization`. If one of these headers comes twice, the request is
/// refused: a proxy in front might check the other key.
fn presented(headers: &HeaderMap) -> Result<&[u8], Refusal> {
    if let Some(key) = only(headers, &X_API_KEY)? {
        return Ok(key);
    }
    let credentials = only(headers, &AUTHORIZATION)?.ok_or(Refusal::Missing)?;
    let at = credentials.iter().position(|byte| *byte == b' ').ok_or(Refusal::Missing)?;
    let (scheme, key) = credentials.split_at(at);
    // RFC 9110, 11.1: the case of a scheme does not matter.
    if scheme.eq_ignore_ascii_case(b"bearer") { Ok(key.trim_ascii()) } else { Err(Refusal::Missing) }
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Refusal::Several),
        (value, None) => Ok(value.map(HeaderValue::as_bytes)),
    }
}

/// Why a request has no valid key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Missing,
    Several,
    Wrong,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // RFC 6750, 3: a request without a key gets no error code.
        let (challenge, detail) = match self {
            Self::Missing => {
                ("Bearer", "an API key is required: send it as Authorization: Bearer KEY or X-API-Key: KEY")
            }
            Self::Several => (r#"Bearer error="invalid_request""#, "send exactly one API key"),
            Self::Wrong => (
                r#"Bearer error="invalid_token""#,
                "this API key is not valid; ask the operator of this gateway for a valid one",
            ),
        };
        let challenge = (WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        ([challenge], Failure::unauthorized(detail)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(HeaderName, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(name, HeaderValue::from_bytes(value).expect("a header"));
        }
        headers
    }

    #[test]
    fn a_key_is_read_from_either_header() {
        for (all, key) in [
            (&[(AUTHORIZATION, &b"Bearer k1"[..])][..], &b"k1"[..]),
            (&[(AUTHORIZATION, b"bEARER   k1 ")], b"k1"),
            (&[(X_API_KEY, b"k1")], b"k1"),
            (&[(X_API_KEY, b"k1"), (AUTHORIZATION, b"Basic YTpi")], b"k1"),
            (&[(X_API_KEY, b"k1"), (AUTHORIZATION, b"Bearer k2")], b"k1"),
            (&[(X_API_KEY, b"")], b""),
            (&[(X_API_KEY, b"\xff\xfe")], b"\xff\xfe"),
        ] {
            assert_eq!(presented(&headers(all)), Ok(key), "{all:?}");
        }
    }

    #[test]
    fn no_key_and_two_keys_are_different_errors() {
        for (all, refusal) in [
            (&[][..], Refusal::Missing),
            (&[(AUTHORIZATION, &b"Basic YTpi"[..])], Refusal::Missing),
            (&[(AUTHORIZATION, b"Bearer")], Refusal::Missing),
            (&[(AUTHORIZATION, b"")], Refusal::Missing),
            (&[(AUTHORIZATION, b"k1")], Refusal::Missing),
            (&[(AUTHORIZATION, b"Bearer k1"), (AUTHORIZATION, b"Bearer k1")], Refusal::Several),
            (&[(X_API_KEY, b"k1"), (X_API_KEY, b"k2")], Refusal::Several),
        ] {
            assert_eq!(presented(&headers(all)), Err(refusal), "{all:?}");
        }
    }
}
