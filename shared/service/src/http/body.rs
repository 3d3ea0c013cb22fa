//! Reads the body of a request, with limits for its format, its size and its time.

use std::time::Duration;

use axum::body::HttpBody;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

/// The limits of a body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The largest body that is accepted, in bytes.
    pub size: usize,
    /// How long a body may take to arrive.
    pub time: Duration,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body, or the size that it announces, is too large.
    #[error("the body is larger than the {limit} bytes accepted here")]
    TooLarge {
        /// The largest body that is accepted, in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s", .within.as_secs_f32())]
    TimedOut {
        /// The time limit.
        within: Duration,
    },
    /// The connection failed, or the framing of the body is invalid.
    #[error("the body could not be read to its end")]
    Broken,
}

/// Reads the whole `body` unless it is too large. If a body announces too many bytes, nothing of it is
/// read, so the sender gets no `100 Continue`. [`unread_body`](super::unread_body) handles the part that is not read.
///
/// # Errors
/// See [`BodyError`].
pub async fn read<B>(body: B, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: HttpBody<Data = Bytes, Error: Into<axum::BoxError>> + Unpin,
{
    if body.size_hint().lower() > limits.size as u64 {
        return Err(BodyError::TooLarge { limit: limits.size });
    }
    let whole = tokio::time::timeout(limits.time, Limited::new(body, limits.size).collect()).await;
    match whole {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge { limit: limits.size }),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::TimedOut { within: limits.time }),
    }
}

/// The JSON without a byte order mark in front. Some editors write one although JSON must not have it;
/// a reader may ignore it (RFC 8259, 8.1).
pub fn without_bom(json: &[u8]) -> &[u8] {
    json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json)
}

/// True if the headers announce JSON: `application/json`, with or without `charset=utf-8` (JSON is
/// UTF-8, RFC 8259). Other parameters are ignored. Another charset or media type is not accepted, also
/// not a `+json` type.
pub fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    if value == "application/json" {
        return true;
    }
    let Ok(value) = value.to_str() else { return false };
    let mut parts = value.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => true,
        })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::body::Body;
    use axum::http::HeaderValue;
    use futures_util::{StreamExt, stream};

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { size: 8, time: Duration::from_millis(20) };

    /// A body that arrives in pieces and announces no size.
    fn pieces(pieces: &'static [&'static str]) -> Body {
        Body::from_stream(stream::iter(pieces.iter().copied()).map(Ok::<_, Infallible>))
    }

    /// A body that sends `start`, then nothing more, and does not end.
    fn endless(start: &'static str) -> Body {
        Body::from_stream(stream::iter([start]).chain(stream::pending()).map(Ok::<_, Infallible>))
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_read_in_order() {
        let whole = read(pieces(&["ab", "cd", "", "ef"]), LIMITS).await;

        assert_eq!(whole, Ok(Bytes::from_static(b"abcdef")));
    }

    #[tokio::test]
    async fn a_body_may_be_as_large_as_the_limit_but_not_larger() {
        assert_eq!(read(Body::from("12345678"), LIMITS).await.map(|b| b.len()), Ok(8));

        let announced = read(Body::from("123456789"), LIMITS).await;
        let unannounced = read(pieces(&["1234", "56789"]), LIMITS).await;
        let endless = read(endless("123456789"), LIMITS).await;

        for refused in [announced, unannounced, endless] {
            assert_eq!(refused, Err(BodyError::TooLarge { limit: 8 }));
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up() {
        let endless = read(endless("1"), LIMITS).await;

        assert_eq!(endless, Err(BodyError::TimedOut { within: LIMITS.time }));
    }

    #[test]
    fn json_is_recognised_however_it_is_written() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Application/JSON", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"UTF-8\"", true),
            ("application/json; profile=x", true),
            ("application/json; charset=latin1", false),
            ("application/problem+json", false),
            ("application/jsonp", false),
            ("text/json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
            assert_eq!(is_json(&headers), expected, "{content_type:?}");
        }
        assert!(!is_json(&HeaderMap::new()), "no content type");
    }
}
