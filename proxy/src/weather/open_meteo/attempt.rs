use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::failure::Failure;
use super::traced::Traced;
use crate::retry_after::retry_after;

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
