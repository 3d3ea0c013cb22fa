use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::http::ProblemAnswer;

use crate::config::AdminToken;

/// Lets requests with the admin token through. If the settings have no token, it refuses every request.
pub(super) async fn admin_only(
    State(token): State<Option<AdminToken>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(token) = token else {
        return ProblemAnswer::new(403, OFF).into_response();
    };
    match bearer(request.headers()) {
        Some(candidate) if token.is(candidate) => {
            let mut response = next.run(request).await;
            // Bodies of requests are private: no HTTP cache may store them.
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        // RFC 6750, 3.1: a request without a token gets no error code.
        None => unauthorized("Bearer"),
        Some(_) => unauthorized(WRONG),
    }
}

/// Detail of a 403.
pub(super) const OFF: &str =
    "dead-letter operations are off: set ADMIN_TOKEN for this process to turn them on";

/// Detail of a 401.
pub(super) const NO_TOKEN: &str = "send the admin token as authorization: Bearer <ADMIN_TOKEN>";

/// The challenge for a wrong token.
const WRONG: &str = r#"Bearer error="invalid_token""#;

/// The token of an `Authorization: Bearer …`, if there is exactly one such header.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.as_bytes(), values.next()) else { return None };
    let (scheme, token) = value.split_at(value.iter().position(|byte| *byte == b' ')?);
    scheme.eq_ignore_ascii_case(b"bearer").then(|| token.trim_ascii())
}

/// True if the caller sent the admin token, false if it sent none. The error is the answer to a wrong
/// token.
pub(super) fn shows_values(token: Option<&AdminToken>, headers: &HeaderMap) -> Result<bool, Box<Response>> {
    match (token, bearer(headers)) {
        (Some(token), Some(candidate)) if token.is(candidate) => Ok(true),
        (Some(_), Some(_)) => Err(Box::new(unauthorized(WRONG))),
        (None, _) | (_, None) => Ok(false),
    }
}

fn unauthorized(challenge: &'static str) -> Response {
    let mut response = ProblemAnswer::new(401, NO_TOKEN).into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_bearer_header_is_a_token() {
        let headers = |values: &[&'static str]| -> HeaderMap {
            values.iter().map(|value| (AUTHORIZATION, HeaderValue::from_static(value))).collect()
        };

        for value in ["Bearer abc", "bearer abc", "BEARER   abc "] {
            assert_eq!(bearer(&headers(&[value])), Some(&b"abc"[..]), "{value}");
        }
        for values in [&[][..], &["abc"], &["Basic abc"], &["Bearerabc"], &["Bearer abc", "Bearer abc"]] {
            let mut map = HeaderMap::new();
            for value in values {
                map.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            assert_eq!(bearer(&map), None, "{values:?}");
        }
    }
}
