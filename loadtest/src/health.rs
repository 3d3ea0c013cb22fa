//! Checks before the load that the gateway answers and reports that it is healthy.

use std::time::Duration;

use reqwest::{Client, Url};

/// A running gateway answers the health check well within this time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why no load can be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No HTTP answer came.
    #[error("no gateway answers at {url}: {reason}; start one with `make up` or choose another with --url")]
    Silent {
        /// What was asked.
        url: Url,
        /// The error of the client.
        reason: String,
    },
    /// The gateway answered that it is not healthy.
    #[error("the gateway is not healthy: {url} answered {status}")]
    Unhealthy {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
    },
}

/// Sends `GET /healthz` to the gateway at `base`.
///
/// # Errors
/// Nothing answers within five seconds, or the answer is no success.
pub async fn check(client: &Client, base: &Url) -> Result<(), Unavailable> {
    let url = crate::caller::join(base, "healthz");
    let answer = client.get(url.clone()).timeout(PATIENCE).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(Unavailable::Unhealthy { url, status: answer.status().as_u16() }),
        Err(error) => Err(Unavailable::Silent { url, reason: crate::caller::root_cause(&error) }),
    }
}
