use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::traced::Traced;

/// A longer `Retry-After` counts as this.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Sends one request to `url` and reads at most `max_answer` bytes. The caller sets the timeout.
pub(super) async fn send<T: DeserializeOwned>(
    client: &Client,
    url: Url,
    max_answer: usize,
    span: &mut Traced,
) -> Result<T, Failure> {
    let request = client.get(url);
    let request = match span.traceparent() {
        Some(trace) => request.header("traceparent", trace),
        None => request,
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    span.answered(status);
    let retry_after = retry_after(response.headers());
    let body = read(response, max_answer).await?;
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|error| Failure::BadAnswer { detail: error.to_string() });
    }
    let detail = match serde_json::from_slice::<ErrorAnswer>(&body) {
        Ok(answer) => format!("{status}: {}", answer.reason),
        Err(_) => status.to_string(),
    };
    Err(match status {
        StatusCode::TOO_MANY_REQUESTS => Failure::Limited { retry_after },
        StatusCode::REQUEST_TIMEOUT => Failure::Transient { detail, retry_after },
        _ if status.is_server_error() => Failure::Transient { detail, retry_after },
        _ => Failure::Refused { detail },
    })
}

/// `{"error":true,"reason":"…"}`
#[derive(Deserialize)]
struct ErrorAnswer {
    reason: String,
}

async fn read(mut response: Response, max_answer: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > max_answer {
            return Err(Failure::BadAnswer { detail: format!("an answer of more than {max_answer} bytes") });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error with its causes but without its URL, which holds a user's text and may hold an API key.
fn unreachable(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    Failure::Transient { detail, retry_after: None }
}

/// `Retry-After` in either of its forms (RFC 9110, 10.2.3): seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
            Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or(Duration::ZERO)
        }
    };
    Some(wait.min(DAY))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn parsed(value: &'static str) -> Option<Duration> {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(value))]))
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_never_more_than_a_day() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed("99999999999"), Some(DAY));
        assert_eq!(parsed("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(parsed("Tue, 31 Dec 2999 00:00:00 GMT"), Some(DAY));
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("-1"), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
