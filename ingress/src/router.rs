//! The route table and its layers.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use service::http::swagger;
use service::http::unread_body;
use streamgate::telemetry::Tracer;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;

use crate::answer_layer::AnswerLayer;
use crate::api_keys::guard::guard;
use crate::cors;
use crate::gateway::Gateway;
use crate::metrics::HttpMetrics;
use crate::openapi;
use crate::problem::Failure;
use crate::routes::{any, health, weather};

/// The public API in front of `gateway`: that of the routes file, or the weather alone. With `cors`, web pages may send
/// requests from a browser; routes of a file say that themselves.
#[rustfmt::skip]
pub fn router(
    gateway: Arc<Gateway>,
    metrics: HttpMetrics,
    tracer: Tracer,
    cors: Option<CorsLayer>,
) -> Router {
    let body_timeout = gateway.serving.body_time();
    let router = Router::new()
        .route("/healthz",              get(health::report))
        .route("/livez",                get(health::live))
        .route("/readyz",               get(health::ready))
        .route(swagger::DOCUMENT_PATH,  get(openapi::document))
        .route(swagger::PAGE_PATH,      get(openapi::swagger_page))
        .route("/swagger/{*file}",      get(openapi::swagger_file))
        .route("/swagger",              get(swagger::to_page));
    let with_cors = |router: Router<Arc<Gateway>>| match cors {
        Some(cors) => router.layer(cors),
        None => router,
    };
    let router = match weather(&gateway) {
        Some(weather) => with_cors(router
            .route("/WeatherForecast/city", weather)
            .route("/",                     get(swagger::to_page))
            .method_not_allowed_fallback(cors::method_not_allowed)
            .fallback(|| async { Failure::not_found() })),
        None => with_cors(router
            .route("/openapi.json",        get(openapi::to_document))
            .method_not_allowed_fallback(cors::method_not_allowed))
            .fallback(any::serve),
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

/// The route without a file, behind the check of API keys; `None` with a file.
fn weather(gateway: &Gateway) -> Option<MethodRouter<Arc<Gateway>>> {
    let forecasts = gateway.serving.built_in()?;
    let handler = post(weather::forecast).with_state(forecasts);
    Some(match gateway.serving.keys() {
        Some(keys) => handler.route_layer(from_fn_with_state(Arc::clone(keys), guard)),
        None => handler,
    })
}
