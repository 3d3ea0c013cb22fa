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

/// When the service says "too many" without saying until when: its shortest window.
const LIMIT_WINDOW: Duration = Duration::from_secs(60);

/// What both endpoints share: the client, and everything that bounds how hard the service is asked.
#[derive(Debug)]
pub(super) struct Outbound {
    client: Client,
    limit: DefaultDirectRateLimiter,
    /// When everything fails, retries stay a fraction of the calls instead of multiplying them.
    budget: TpsBudget,
    settings: OpenMeteoSettings,
    tracer: Tracer,
}

impl Outbound {
    pub(super) fn new(settings: &OpenMeteoSettings, tracer: Tracer) -> Result<Self, SetupError> {
        Ok(Self {
            client: client(settings)?,
            limit: DefaultDirectRateLimiter::direct(Quota::per_minute(settings.per_minute)),
            // For each ten seconds: a fifth of the calls and ten retries more, so that a lone caller may use
            // all its tries.
            budget: TpsBudget::new(Duration::from_secs(10), 1, 0.2),
            settings: settings.clone(),
            tracer,
        })
    }
}

/// One endpoint of the service, with a circuit breaker of its own: cities that are known already
/// have weather while geocoding is down.
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

    /// Its breaker; clones share one state.
    pub(super) fn circuit(&self) -> (CircuitBreaker, Gauge) {
        (self.breaker.clone(), self.metrics.circuit_state.clone())
    }

    /// Asks with `query` until there is an answer, the number of attempts is used up, or `deadline` has passed.
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

    /// One try, if the circuit and the rate limit let it pass: the outer error is final.
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
                // This caller had little time, which says nothing about the service: the pass is
                // dropped without a word.
                self.metrics.timed_out.increment(1);
                return Err(ProviderError::TimedOut);
            }
            Err(_) => Err(Failure::TooSlow),
        };
        span.ended(&result);
        match &result {
            // A refusal is an answer: the service is alive.
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
            Err(Failure::Nonsense { .. }) => &self.metrics.bad_answer,
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the whole URL: its query may hold a key.
        f.debug_struct("Endpoint").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// How long to wait before the next try; `None` if there should be none.
fn pause(
    failure: &Failure,
    backoff: &mut Backoff,
    settings: &OpenMeteoSettings,
    time_left: Duration,
) -> Option<Duration> {
    let asked_for = match failure {
        Failure::Transient { retry_after, .. } | Failure::Limited { retry_after } => *retry_after,
        Failure::TooSlow => None,
        Failure::Refused { .. } | Failure::Nonsense { .. } => return None,
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
        Failure::TooSlow => ProviderError::Unavailable { detail: "no answer in time, repeatedly".to_owned() },
        Failure::Nonsense { detail } => ProviderError::BadAnswer { detail },
    }
}

fn client(settings: &OpenMeteoSettings) -> Result<Client, SetupError> {
    // reqwest panics without a provider; the process usually has installed one by now.
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
        // No TLS, so no need for a machine with CA certificates.
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
    fn a_short_retry_after_is_waited_for_and_a_long_one_is_not() {
        assert_eq!(pause_after(&limited(1), 1, PLENTY), Some(Duration::from_secs(1)));
        assert_eq!(pause_after(&limited(3), 1, PLENTY), None);
        assert!(pause_after(&limited(0), 1, PLENTY) >= Some(Duration::from_millis(50)), "never at once");
    }

    #[test]
    fn the_last_try_and_the_end_of_the_time_end_it() {
        assert!(pause_after(&Failure::TooSlow, 2, PLENTY).is_some());
        assert_eq!(pause_after(&Failure::TooSlow, 3, PLENTY), None);
        assert_eq!(pause_after(&limited(1), 1, Duration::from_secs(1)), None);
    }

    #[test]
    fn what_another_try_cannot_change_is_not_tried_again() {
        let detail = String::new;

        assert_eq!(pause_after(&Failure::Refused { detail: detail() }, 1, PLENTY), None);
        assert_eq!(pause_after(&Failure::Nonsense { detail: detail() }, 1, PLENTY), None);
    }
}
