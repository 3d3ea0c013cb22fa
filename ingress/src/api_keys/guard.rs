//! The layer that checks API keys. It runs before the body is read and sends nothing to Redis, so a
//! refused request costs very little.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{HeaderMap, WWW_AUTHENTICATE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::api_key::{NoKey, presented};
use streamgate::envelope::CorrelationId;

use super::{ApiKeys, Key};
use crate::problem::Failure;

/// Passes a request on if its key is valid and within its rate limit. The headers of the answer show
/// the rest of the limit.
pub async fn guard(State(keys): State<Arc<ApiKeys>>, request: Request, next: Next) -> Response {
    let key = match identify(&keys, request.headers()) {
        Ok(key) => key,
        Err(refusal) => {
            keys.metrics.unauthorized.increment(1);
            return unauthorized(refusal);
        }
    };
    let id = request.extensions().get::<CorrelationId>().copied();
    tracing::debug!(id = id.map(tracing::field::display), key = key.line.name, "presented a key");
    let Some(limiter) = &key.limiter else {
        key.metrics.authorized.increment(1);
        return next.run(request).await;
    };
    let taken = limiter.take();
    let mut response = match taken {
        Ok(_) => {
            key.metrics.authorized.increment(1);
            next.run(request).await
        }
        Err(wait) => {
            key.metrics.rate_limited.increment(1);
            Failure::rate_limited(wait).into_response()
        }
    };
    limiter.announce(taken, response.headers_mut());
    response
}

fn identify(keys: &ApiKeys, headers: &HeaderMap) -> Result<Arc<Key>, NoKey> {
    keys.find(presented(headers)?).ok_or(NoKey::Wrong)
}

fn unauthorized(refusal: NoKey) -> Response {
    ([(WWW_AUTHENTICATE, refusal.challenge())], Failure::unauthorized(refusal.to_string())).into_response()
}
