//! The route table and its layers.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use service::http::swagger::{self, SwaggerPage};
use service::http::unread_body;
use streamgate::telemetry::Tracer;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::answer_layer::AnswerLayer;
use crate::api_keys::ApiKeys;
use crate::api_keys::guard::guard;
use crate::cors;
use crate::gateway::Gateway;
use crate::metrics::HttpMetrics;
use crate::openapi;
use crate::problem::Failure;
use crate::routes::health;
use crate::routes::weather::{self, Forecasts};

/// The public API in front of `gateway`. With `keys`, a forecast request needs one of these keys. With
/// `cors`, web pages may send requests from a browser.
#[rustfmt::skip]
pub fn router(
    gateway: Arc<Gateway>,
    forecasts: Forecasts,
    metrics: HttpMetrics,
    tracer: Tracer,
    keys: Option<Arc<ApiKeys>>,
    cors: Option<CorsLayer>,
) -> Router {
    let body_timeout = forecasts.body.time;
    let page = SwaggerPage::of(openapi::description(keys.is_some())).ready_to_try();
    let work = |handler: MethodRouter<_>| match keys {
        Some(keys) => handler.route_layer(from_fn_with_state(keys, guard)),
        None => handler,
    };
    let router = Router::new()
        .route("/WeatherForecast/city", work(post(weather::forecast).with_state(Arc::new(forecasts))))
        .route("/healthz",              get(health::report))
        .route("/livez",                get(health::live))
        .route("/readyz",               get(health::ready))
        .route(swagger::DOCUMENT_PATH,  get(openapi::document).with_state(page.clone()))
        .route(swagger::PAGE_PATH,      get(openapi::swagger_page).with_state(page.clone()))
        .route("/swagger/{*file}",      get(openapi::swagger_file).with_state(page))
        .route("/swagger",              get(swagger::to_page))
        .route("/",                     get(swagger::to_page))
        .method_not_allowed_fallback(cors::method_not_allowed)
        .fallback(|| async { Failure::not_found() });
    let router = match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(
            ServiceBuilder::new()
                .map_request(move |request| unread_body::discard_later(request, body_timeout))
                .layer(AnswerLayer::new(metrics, tracer))
                .layer(CatchPanicLayer::custom(Failure::of_panic)),
        )
        .with_state(gateway)
}
