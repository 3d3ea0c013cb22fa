//! Reading a request's body: in the right format, within its limit, in time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;

/// What a body may cost.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// The largest accepted, in bytes.
    pub size: u64,
    /// How long it may take to arrive.
    pub time: Duration,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or says it is, larger than accepted.
    #[error("the body is larger than the {limit} bytes accepted here")]
    TooLarge {
        /// The largest accepted, in bytes.
        limit: u64,
    },
    /// It did not arrive in time.
    #[error("the body did not arrive within {} s", .within.as_secs_f32())]
    TimedOut {
        /// How long it had.
        within: Duration,
    },
    /// The connection or the framing failed on the way.
    #[error("the body could not be read to its end")]
    Broken,
}

/// Reads the whole of `body`. A body that announces a size above the limit is refused unread;
/// one that does not announce any is cut off at the limit.
///
/// # Errors
/// See [`BodyError`].
pub async fn read<B>(body: B, limits: BodyLimits) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    if body.size_hint().lower() > limits.size {
        return Err(BodyError::TooLarge { limit: limits.size });
    }
    tokio::time::timeout(limits.time, collect(body, limits.size))
        .await
        .unwrap_or(Err(BodyError::TimedOut { within: limits.time }))
}

/// True if the headers announce JSON: `application/json`, with `charset=utf-8` or without (JSON
/// is UTF-8, RFC 8259). Other parameters mean nothing to us; another charset or media type,
/// `+json` ones included, promises something this gateway does not read.
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

/// Most bodies are one frame, which is handed on as it came; only more are put together.
async fn collect<B>(body: B, limit: u64) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if (first.len() + rest.len() + data.len()) as u64 > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body_util::Full;
    use hyper::body::Frame;
    use hyper::header::HeaderValue;

    use super::*;

    const LIMITS: BodyLimits = BodyLimits { size: 8, time: Duration::from_millis(20) };

    /// Hands out its frames one by one, announces no size, and may never end.
    struct Frames(Vec<&'static [u8]>, bool);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            match (self.0.is_empty(), self.1) {
                (false, _) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.0.remove(0)))))),
                (true, true) => Poll::Pending,
                (true, false) => Poll::Ready(None),
            }
        }
    }

    #[tokio::test]
    async fn frames_are_put_together_in_order() {
        let whole = read(Frames(vec![b"ab", b"cd", b"", b"ef"], false), LIMITS).await;

        assert_eq!(whole, Ok(Bytes::from_static(b"abcdef")));
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() {
        assert_eq!(read(Full::new(Bytes::from_static(b"12345678")), LIMITS).await.map(|b| b.len()), Ok(8));

        let announced = read(Full::new(Bytes::from_static(b"123456789")), LIMITS).await;
        let unannounced = read(Frames(vec![b"1234", b"56789"], true), LIMITS).await;

        assert_eq!(announced, Err(BodyError::TooLarge { limit: 8 }));
        assert_eq!(unannounced, Err(BodyError::TooLarge { limit: 8 }));
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_given_up() {
        let endless = read(Frames(vec![b"1"], true), LIMITS).await;

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
