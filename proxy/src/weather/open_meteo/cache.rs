use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use moka::Expiry;
use tokio::time::{Instant, timeout_at};

use super::super::ProviderError;
use super::super::metrics::EndpointMetrics;

/// Keeps answers. Callers that want the same key at the same time share one request. Failures are not
/// kept.
pub(super) struct Cache<K, V> {
    inner: moka::future::Cache<K, V>,
    hits: metrics::Counter,
    misses: metrics::Counter,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// A cache of at most `entries` answers, each kept for the time that `ttl` returns.
    pub(super) fn new(
        entries: u64,
        ttl: impl Fn(&V) -> Duration + Send + Sync + 'static,
        metrics: &EndpointMetrics,
    ) -> Self {
        let inner = moka::future::Cache::builder().max_capacity(entries).expire_after(Ttl(ttl)).build();
        Self { inner, hits: metrics.cache_hits.clone(), misses: metrics.cache_misses.clone() }
    }

    /// Returns the value for `key` by `deadline`: from the cache, from `ask`, or from another caller's
    /// `ask` that is under way for the same key.
    pub(super) async fn get_or_ask<F>(
        &self,
        key: K,
        deadline: Instant,
        ask: impl Fn() -> F,
    ) -> Result<V, ProviderError>
    where
        F: Future<Output = Result<V, ProviderError>>,
    {
        if let Some(value) = self.inner.get(&key).await {
            self.hits.increment(1);
            return Ok(value);
        }
        loop {
            let asking = async {
                self.misses.increment(1);
                ask().await
            };
            let answer = timeout_at(deadline, self.inner.try_get_with(key.clone(), asking)).await;
            match answer {
                Ok(Ok(value)) => return Ok(value),
                // Another caller asked, and its deadline was earlier than that of this caller: ask again. The
                // loop ends, since a caller that asks for itself times out at its own deadline.
                Ok(Err(error)) if *error == ProviderError::TimedOut && Instant::now() < deadline => {}
                Ok(Err(error)) => return Err(ProviderError::clone(&error)),
                Err(_) => return Err(ProviderError::TimedOut),
            }
        }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

struct Ttl<F>(F);

impl<K, V, F: Fn(&V) -> Duration> Expiry<K, V> for Ttl<F> {
    fn expire_after_create(&self, _: &K, value: &V, _: std::time::Instant) -> Option<Duration> {
        Some((self.0)(value))
    }

    /// A new value replaces an expired one that the cache has not removed yet.
    fn expire_after_update(
        &self,
        _: &K,
        value: &V,
        _: std::time::Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some((self.0)(value))
    }
}
