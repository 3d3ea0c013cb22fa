//! Before any load: is there a gateway, and does it call itself healthy?

use std::time::Duration;

use reqwest::{Client, Url};

/// A gateway that is up answers this at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the load is not sent.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No HTTP answer came.
    #[error("no gateway answers at {url}: {reason}; start one with `make up` or choose another with --url")]
    Silent {
        /// What was asked.
        url: Url,
        /// What the client saw.
        reason: String,
    },
    /// An answer came, but not a healthy one.
    #[error("the gateway is not healthy: {url} answered {status}")]
    Unhealthy {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
    },
}

/// Asks `GET /healthz` of the gateway at `base`.
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
