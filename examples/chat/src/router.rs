//! The routes, the files of the page, and what all answers have in common.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use service::http::{host, unread_body};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::config::REQUEST_PATIENCE;
use crate::problem::Refusal;
use crate::{Chat, listen, send, typing};

/// All routes; `probes` has `/metrics`, `/livez` and `/readyz`.
#[rustfmt::skip]
pub(crate) fn router(chat: Arc<Chat>, probes: Router) -> Router {
    Router::new()
        .route("/api/chat/send",   post(send::send))
        .route("/api/chat/typing", post(typing::typing))
        .route("/api/chat/stream", get(listen::listen))
        .route("/",                get(index))
        .route("/chat.css",        get(style))
        .route("/chat.js",         get(script))
        .with_state(Arc::clone(&chat))
        .merge(probes)
        .method_not_allowed_fallback(|| async {
            Refusal::new(405, "this path does not accept this method; the allow header lists those it accepts")
        })
        .fallback(|| async { Refusal::new(404, "there is nothing at this path; the page is at /") })
        .layer(
            ServiceBuilder::new()
                .map_request(|request| unread_body::discard_later(request, REQUEST_PATIENCE))
                .layer(from_fn_with_state(chat, check))
                .layer(CatchPanicLayer::custom(Refusal::of_panic)),
        )
}

const COMMON: [(HeaderName, HeaderValue); 2] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Checks the host of a request, and counts the refusals.
async fn check(State(chat): State<Arc<Chat>>, request: Request, next: Next) -> Response {
    let mut response = match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => Refusal::new(400, error.to_string()).into_response(),
    };
    response.headers_mut().extend(COMMON);
    if response.status().is_client_error() || response.status().is_server_error() {
        chat.metrics.refused(response.status());
    }
    response
}

/// The page runs its own script and no other, not even one inside an attribute, and nothing in it makes markup of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
                      trusted-types 'none'";

async fn index() -> Response {
    file("text/html; charset=utf-8", include_str!("../page/index.html"))
}

async fn style() -> Response {
    file("text/css; charset=utf-8", include_str!("../page/chat.css"))
}

async fn script() -> Response {
    file("text/javascript; charset=utf-8", include_str!("../page/chat.js"))
}

fn file(content_type: &'static str, text: &'static str) -> Response {
    let headers: [(HeaderName, &str); 3] =
        [(CONTENT_TYPE, content_type), (CONTENT_SECURITY_POLICY, POLICY), (CACHE_CONTROL, "no-cache")];
    (headers, text).into_response()
}
