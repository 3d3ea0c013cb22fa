use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::{DefaultDirectRateLimiter, Quota};
use metrics::{Counter, Gauge};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rustls::crypto::CryptoProvider;
use serde::de::DeserializeOwned;
use streamgate::resilience::{Backoff, CircuitBreaker};
use streamgate::telemetry::Tracer;
use tokio::time::{Instant, sleep, timeout};
use tower::retry::budget::{Budget, TpsBudget};

use super::attempt;
use super::failure::Failure;
use super::traced::Traced;
use super::{OpenMeteoSettings, SetupError};
use crate::weather::ProviderError;
use crate::weather::metrics::EndpointMetrics;

/// Wait after a 429 without `Retry-After`: the shortest window of the service's rate limits.
const LIMIT_WINDOW: Duration = Duration::from_secs(60);

/// What both endpoints share: the client, and everything that limits the load on the service.
#[derive(Debug)]
pub(super) struct Outbound {
    client: Client,
    limit: DefaultDirectRateLimiter,
    /// Limits retries to a fraction of the calls, so that an outage does not multiply the load.
    budget: TpsBudget,
    settings: OpenMeteoSettings,
    tracer: Tracer,
}

impl Outbound {
    pub(super) fn new(settings: &OpenMeteoSettings, tracer: Tracer) -> Result<Self, SetupError> {
        Ok(Self {
            client: client(settings)?,
            limit: DefaultDirectRateLimiter::direct(Quota::per_minute(settings.per_minute)),
            // In ten seconds: one retry for every five calls and ten retries more, so that a single caller may
            // use all its tries.
            budget: TpsBudget::new(Duration::from_secs(10), 1, 0.2),
            settings: settings.clone(),
            tracer,
        })
    }
}

/// One endpoint of the service. Each has its own circuit breaker, so that cities in the cache get a
/// forecast while geocoding is down.
pub(super) struct Endpoint {
    url: Url,
    outbound: Arc<Outbound>,
    breaker: CircuitBreaker,
    metrics: EndpointMetrics,
}

impl Endpoint {
    pub(super) fn new(
        url: &str,
        outbound: Arc<Outbound>,
        metrics: EndpointMetrics,
    ) -> Result<Self, SetupError> {
        let parsed = Url::parse(url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = parsed.ok_or(SetupError::Url)?;
        let breaker = CircuitBreaker::new(outbound.settings.breaker);
        Ok(Self { url, outbound, breaker, metrics })
    }

    /// The circuit breaker of this endpoint and its gauge; clones of the breaker share one state.
    pub(super) fn circuit(&self) -> (CircuitBreaker, Gauge) {
        (self.breaker.clone(), self.metrics.circuit_state.clone())
    }

    /// Sends `query` until there is an answer, at most `settings.tries` times, never past `deadline`.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        query: &[(&str, &str)],
        deadline: Instant,
    ) -> Result<T, ProviderError> {
        let Outbound { budget, settings, .. } = &*self.outbound;
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(query);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        budget.deposit();
        loop {
            let failure = match self.try_once(url.clone(), deadline).await? {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let time_left = deadline.saturating_duration_since(Instant::now());
            let delay = pause(&failure, &mut backoff, settings, time_left);
            let Some(delay) = delay.filter(|_| budget.withdraw()) else {
                return Err(give_up(failure));
            };
            tracing::debug!(host = self.url.host_str(), ?failure, ?delay, "asking the weather service again");
            self.metrics.retries.increment(1);
            sleep(delay).await;
        }
    }

    /// Makes one try, if the circuit and the rate limit allow it. After an outer error there is no other try.
    async fn try_once<T: DeserializeOwned>(
        &self,
        url: Url,
        deadline: Instant,
    ) -> Result<Result<T, Failure>, ProviderError> {
        let Outbound { client, limit, settings, tracer, .. } = &*self.outbound;
        let time_left = deadline.saturating_duration_since(Instant::now());
        if time_left.is_zero() {
            return Err(ProviderError::TimedOut);
        }
        let pass = self.breaker.try_pass().map_err(|open| {
            self.metrics.circuit_open.increment(1);
            ProviderError::CircuitOpen { retry_after: open.retry_after }
        })?;
        limit.check().map_err(|not_yet| {
            self.metrics.rate_limited.increment(1);
            ProviderError::Overloaded { retry_after: not_yet.wait_time_from(limit.clock().now()) }
        })?;

        let started = Instant::now();
        let bound = settings.timeout.min(time_left);
        let mut span = Traced::start(tracer, &url);
        let outcome = timeout(bound, attempt::send(client, url, settings.max_answer, &mut span)).await;
        self.metrics.duration.record(started.elapsed());
        let result = match outcome {
            Ok(result) => result,
            Err(_) if time_left <= settings.timeout => {
                span.ended::<()>(&Err(Failure::TooSlow));
                // The try had less than its full timeout, so its end says nothing about the service: the
                // circuit breaker is told neither a success nor a failure.
                self.metrics.timed_out.increment(1);
                return Err(ProviderError::TimedOut);
            }
            Err(_) => Err(Failure::TooSlow),
        };
        span.ended(&result);
        match &result {
            // A refusal shows that the service is alive.
            Ok(_) | Err(Failure::Refused { .. }) => pass.succeeded(),
            Err(_) => pass.failed(),
        }
        self.counter_of(&result).increment(1);
        Ok(result)
    }

    fn counter_of<T>(&self, result: &Result<T, Failure>) -> &Counter {
        match result {
            Ok(_) => &self.metrics.success,
            Err(Failure::Transient { .. } | Failure::Limited { .. }) => &self.metrics.failed,
            Err(Failure::TooSlow) => &self.metrics.timed_out,
            Err(Failure::Refused { .. }) => &self.metrics.refused,
            Err(Failure::BadAnswer { .. }) => &self.metrics.bad_answer,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the whole URL: its query may hold an API key.
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// How long to wait before the next try; `None` if there is no next try.
fn pause(
    failure: &Failure,
    backoff: &mut Backoff,
    settings: &OpenMeteoSettings,
    time_left: Duration,
) -> Option<Duration> {
    let asked_for = match failure {
        Failure::Transient { retry_after, .. } | Failure::Limited { retry_after } => *retry_after,
        Failure::TooSlow => None,
        Failure::Refused { .. } | Failure::BadAnswer { .. } => return None,
    };
    let asked_for = asked_for.unwrap_or_default();
    if backoff.attempts() + 1 >= settings.tries || asked_for > settings.max_retry_after {
        return None;
    }
    let delay = backoff.next_delay().max(asked_for);
    (delay < time_left).then_some(delay)
}

fn give_up(failure: Failure) -> ProviderError {
    match failure {
        Failure::Limited { retry_after } => {
            ProviderError::Overloaded { retry_after: retry_after.unwrap_or(LIMIT_WINDOW) }
        }
        Failure::Transient { detail, .. } | Failure::Refused { detail } => {
            ProviderError::Unavailable { detail }
        }
        Failure::TooSlow => ProviderError::Unavailable { detail: "no answer in time at any try".to_owned() },
        Failure::BadAnswer { detail } => ProviderError::BadAnswer { detail },
    }
}

fn client(settings: &OpenMeteoSettings) -> Result<Client, SetupError> {
    // reqwest panics without a TLS provider. Usually the process has installed one before.
    if CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let builder = Client::builder()
        .user_agent(concat!("streamgate/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(settings.timeout)
        .tcp_nodelay(true);
    let plain = |url: &str| url.starts_with("http://");
    let builder = if plain(&settings.forecast_url) && plain(&settings.geocoding_url) {
        // Plain http needs no TLS, so the system needs no CA certificates.
        builder.tls_certs_only([])
    } else {
        builder
    };
    Ok(builder.build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLENTY: Duration = Duration::from_secs(60);

    fn pause_after(failure: &Failure, tries_made: u32, time_left: Duration) -> Option<Duration> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        for _ in 1..tries_made {
            backoff.next_delay();
        }
        pause(failure, &mut backoff, &OpenMeteoSettings::default(), time_left)
    }

    fn limited(seconds: u64) -> Failure {
        Failure::Limited { retry_after: Some(Duration::from_secs(seconds)) }
    }

    #[test]
    fn only_a_short_retry_after_delays_the_next_try() {
        assert_eq!(pause_after(&limited(1), 1, PLENTY), Some(Duration::from_secs(1)));
        assert_eq!(pause_after(&limited(3), 1, PLENTY), None);
        assert!(pause_after(&limited(0), 1, PLENTY) >= Some(Duration::from_millis(50)), "never at once");
    }

    #[test]
    fn no_try_follows_the_last_one_or_the_end_of_the_time() {
        assert!(pause_after(&Failure::TooSlow, 2, PLENTY).is_some());
        assert_eq!(pause_after(&Failure::TooSlow, 3, PLENTY), None);
        assert_eq!(pause_after(&limited(1), 1, Duration::from_secs(1)), None);
    }

    #[test]
    fn a_refused_or_invalid_answer_is_not_tried_again() {
        let detail = String::new;

        assert_eq!(pause_after(&Failure::Refused { detail: detail() }, 1, PLENTY), None);
        assert_eq!(pause_after(&Failure::BadAnswer { detail: detail() }, 1, PLENTY), None);
    }
}
