use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use moka::Expiry;
use tokio::time::{Instant, timeout_at};

use super::super::ProviderError;
use super::super::metrics::EndpointMetrics;

/// Answers that were given before, and the ones that are being asked for: however many want the
/// same, one asks. Failures are not kept.
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
    /// At most `entries`, each kept as long as `ttl` says.
    pub(super) fn new(
        entries: u64,
        ttl: impl Fn(&V) -> Duration + Send + Sync + 'static,
        metrics: &EndpointMetrics,
    ) -> Self {
        let inner = moka::future::Cache::builder().max_capacity(entries).expire_after(Ttl(ttl)).build();
        Self { inner, hits: metrics.cache_hits.clone(), misses: metrics.cache_misses.clone() }
    }

    /// The value for `key`, by `deadline`: from the cache, from `ask`, or from a call for the same key
    /// that is under way.
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
                // The shared call ended at the earlier deadline of another caller: ask again. A call made
                // by this caller ends at its own deadline, so the loop ends.
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

    /// An expired entry that is still there is written over.
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
