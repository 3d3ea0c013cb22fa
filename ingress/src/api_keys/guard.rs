//! The check of API keys. It runs before the body is read and sends nothing to Redis, so a refused request costs very
//! little.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::routes::Priority;
use axum::extract::{Request, State};
use axum::http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::api_key::{NoKey, presented};
use streamgate::envelope::CorrelationId;

use super::{ApiKeys, Key};
use crate::problem::Failure;

/// The layer around the route without a file: passes a request on if its key is valid and within its limits.
pub async fn guard(State(keys): State<Arc<ApiKeys>>, request: Request, next: Next) -> Response {
    let id = request.extensions().get::<CorrelationId>().copied();
    match admit(&keys, request.headers(), &[], id) {
        Ok(pass) => {
            let mut response = next.run(request).await;
            pass.announce(response.headers_mut());
            response
        }
        Err(refusal) => *refusal,
    }
}

/// A request whose key is valid and within its limits. While it exists, the request counts as waiting.
pub struct Pass {
    key: Arc<Key>,
    /// The rest of the rate limit, if the key has one.
    left: Option<u32>,
    _waiting: Waiting,
}

/// Checks the key of a request for a route that demands `scopes`.
///
/// # Errors
/// The answer that refuses the request: 401, 403 or 429. It shows the rest of the rate limit.
pub fn admit(
    keys: &ApiKeys,
    headers: &HeaderMap,
    scopes: &[String],
    id: Option<CorrelationId>,
) -> Result<Pass, Box<Response>> {
    let key = presented(headers).and_then(|key| keys.find(key).ok_or(NoKey::Wrong)).map_err(|refusal| {
        keys.metrics.unauthorized.increment(1);
        Box::new(unauthorized(refusal))
    })?;
    tracing::debug!(id = id.map(tracing::field::display), key = key.line.name, "presented a key");
    if let Some(lacking) = scopes.iter().find(|scope| key.line.scopes.binary_search(scope).is_err()) {
        keys.metrics.forbidden.increment(1);
        return Err(Box::new(forbidden(lacking, scopes)));
    }
    let left = match key.limiter.as_ref().map(|limiter| limiter.take()).transpose() {
        Ok(left) => left,
        Err(wait) => {
            key.metrics.rate_limited.increment(1);
            return Err(announced(Failure::rate_limited(wait), &key, Err(wait)));
        }
    };
    let Some(waiting) = Waiting::start(&key) else {
        key.metrics.too_many_waiting.increment(1);
        return Err(announced(
            Failure::too_many_waiting(key.max_waiting),
            &key,
            Ok(left.unwrap_or_default()),
        ));
    };
    key.metrics.authorized.increment(1);
    Ok(Pass { key, left, _waiting: waiting })
}

impl Pass {
    /// Sets the headers of an answer that show the rest of the rate limit.
    pub fn announce(&self, headers: &mut HeaderMap) {
        if let (Some(limiter), Some(left)) = (&self.key.limiter, self.left) {
            limiter.announce(Ok(left), headers);
        }
    }

    /// The priority that the key asks for.
    pub fn priority(&self) -> Option<Priority> {
        self.key.line.priority
    }
}

/// One waiting request of a key.
struct Waiting(Arc<AtomicUsize>);

impl Waiting {
    /// `None` if as many wait as may.
    fn start(key: &Key) -> Option<Self> {
        let started = Self(Arc::clone(&key.waiting));
        (key.waiting.fetch_add(1, Ordering::Relaxed) < key.max_waiting).then_some(started)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn announced(refusal: Failure, key: &Key, taken: Result<u32, Duration>) -> Box<Response> {
    let mut response = refusal.into_response();
    if let Some(limiter) = &key.limiter {
        limiter.announce(taken, response.headers_mut());
    }
    Box::new(response)
}

fn unauthorized(refusal: NoKey) -> Response {
    ([(WWW_AUTHENTICATE, refusal.challenge())], Failure::unauthorized(refusal.to_string())).into_response()
}

/// RFC 6750, 3.1: the challenge names the scopes that the route demands.
fn forbidden(lacking: &str, scopes: &[String]) -> Response {
    let challenge = format!(r#"Bearer error="insufficient_scope", scope="{}""#, scopes.join(" "));
    let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
    ([(WWW_AUTHENTICATE, challenge)], Failure::forbidden(lacking)).into_response()
}
