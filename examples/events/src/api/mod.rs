//! The HTTP API.
//!
//! In reading order: [`run`] and the routes (here); `login` has the guard in front of them; `users`, `events`,
//! `tasks`, `audit` and `monitoring` have the handlers, `health` the probes. `input` reads and checks what callers send, `failure` turns
//! errors into problems, and `description` completes the OpenAPI description.

mod audit;
mod description;
mod events;
mod failure;
mod health;
mod input;
mod login;
mod monitoring;
mod tasks;
mod users;

use std::any::Any;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use service::exporter::{MetricsRecorder, Scrapes};
use service::http::swagger::{DOCUMENT_PATH, SwaggerPage};
use service::http::{ServerLimits, ServerMetrics, host, serve, unread_body};
use streamgate::connection::{ConnectionMetrics, Redis};
use streamgate::telemetry::Readiness;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::description::{ProblemSchema, Tokens};
use self::failure::Failure;
use crate::auth::{Account, LoginLimit, Passwords, Role, SigningKeys, hash};
use crate::config::{ApiSettings, Switch};
use crate::relay::Relay;
use crate::store::Store;

/// What the handlers share. Clones share everything.
#[derive(Clone)]
struct App {
    store: Store,
    redis: Redis,
    relay: Relay,
    /// `None` if no caller needs a token.
    auth: Option<Auth>,
    readiness: Readiness,
    scrapes: Scrapes,
}

/// What the guard and the login need.
#[derive(Clone)]
struct Auth {
    keys: SigningKeys,
    passwords: Passwords,
    limit: LoginLimit,
    lifetime: Duration,
    reading_is_open: bool,
}

/// The limits of the server.
const LIMITS: ServerLimits = ServerLimits {
    connections: 4_096,
    header_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(10),
    drain: Duration::from_secs(10),
};

/// Serves until `stop`, then finishes the requests under way and stops the relay.
///
/// # Errors
/// A part cannot start, or has ended by itself. If Redis does not answer, that is no error.
pub async fn run(
    settings: ApiSettings,
    listener: TcpListener,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let recorder = MetricsRecorder::default();
    let scrapes = recorder.handle();
    metrics::set_global_recorder(recorder).context("the metrics cannot be recorded")?;
    let readiness = Readiness::default();
    let usable = readiness.latch("database");
    // Its latch is no part of the readiness: without Redis, requests are taken all the same.
    let reachable = Readiness::default().latch("redis");
    let redis = Redis::open(settings.redis.settings(), ConnectionMetrics::declare(), reachable)?;
    let Some(store) = crate::consume::open(&settings.database, &stop).await? else { return Ok(()) };
    let auth = auth(&settings, &store).await?;
    let relay = Relay::new(store.clone(), redis.clone(), settings.events_relay_lease.0);
    let app = App { store: store.clone(), redis, relay: relay.clone(), auth, readiness, scrapes };

    let (stop_relay, stop_serving) = (CancellationToken::new(), CancellationToken::new());
    let mut relaying = tokio::spawn(relay.run(stop_relay.clone()));
    let mut watching = tokio::spawn(health::watch(store, usable));
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let limits = ServerLimits { drain: settings.process.drain(), ..LIMITS }.within_open_files();
    let server = serve(listener, router(app), limits, ServerMetrics::declare(), stop_serving.clone());
    let mut serving = tokio::spawn(server);
    tokio::select! {
        () = stop.cancelled() => {}
        _ = &mut serving => anyhow::bail!("the server ended by itself"),
        _ = &mut relaying => anyhow::bail!("the relay ended by itself"),
        _ = &mut watching => anyhow::bail!("the watch over the database ended by itself"),
    }
    // Not ready from here on.
    watching.abort();
    tokio::time::sleep(settings.process.shutdown_delay.0).await;
    stop_serving.cancel();
    if !serving.await.context("the server panicked")? {
        tracing::warn!("SHUTDOWN_GRACE is nearly over: requests under way were cut off");
    }
    stop_relay.cancel();
    relaying.await.context("the relay panicked")?;
    tracing::info!("stopped");
    Ok(())
}

/// What the guard needs, and the account `admin`, if the settings have a password for it.
async fn auth(settings: &ApiSettings, store: &Store) -> anyhow::Result<Option<Auth>> {
    let Some(keys) = settings.signing_keys()? else {
        tracing::warn!("EVENTS_AUTH is off: every caller that can connect may read and change everything");
        return Ok(None);
    };
    if let Some(password) = settings.admin_password()? {
        let password_hash = hash(&password).map_err(anyhow::Error::msg)?;
        let admin = Account { username: "admin".to_owned(), role: Role::Admin, password_hash };
        store.put_account(&admin).await.context("the account admin cannot be stored")?;
    }
    if let Some(file) = &settings.events_jwt_keys_file {
        tokio::spawn(keys.clone().follow(file.clone()));
    }
    let reading_is_open = settings.events_auth_reading == Switch::Off;
    tracing::info!(reading_is_open, "callers need a token");
    Ok(Some(Auth {
        keys,
        passwords: Passwords::new().map_err(anyhow::Error::msg)?,
        limit: LoginLimit::new(settings.events_logins_per_minute),
        lifetime: settings.events_token_lifetime.0,
        reading_is_open,
    }))
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Streamgate example: users and events",
        description = "Every change becomes an event: stored with the change in one transaction, published by a relay, and processed once."
    ),
    tags(
        (name = "users", description = "Users and their history"),
        (name = "events", description = "Messages, tasks, log lines and events of one's own"),
        (name = "audit", description = "What became of the events"),
        (name = "monitoring", description = "Streams, groups and Redis"),
        (name = "auth", description = "Tokens"),
        (name = "health", description = "Probes and metrics"),
    ),
    components(schemas(ProblemSchema))
)]
struct Api;

fn router(app: App) -> Router {
    let tokens = match &app.auth {
        None => Tokens::Nobody,
        Some(auth) if auth.reading_is_open => Tokens::Writers,
        Some(_) => Tokens::All,
    };
    let guarded = OpenApiRouter::new()
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::update, users::delete))
        .routes(routes!(users::history))
        .routes(routes!(events::chat))
        .routes(routes!(tasks::create_task))
        .routes(routes!(tasks::complete_task))
        .routes(routes!(events::log))
        .routes(routes!(events::custom))
        .routes(routes!(events::batch))
        .routes(routes!(audit::processed))
        .routes(routes!(audit::stats))
        .routes(routes!(audit::info))
        .routes(routes!(monitoring::streams))
        .routes(routes!(monitoring::one))
        .routes(routes!(monitoring::groups))
        .routes(routes!(monitoring::messages))
        .routes(routes!(monitoring::redis_info))
        .routes(routes!(monitoring::redis_ping))
        .route_layer(from_fn_with_state(app.clone(), login::guard));
    let (routes, mut api) = OpenApiRouter::with_openapi(Api::openapi())
        .merge(guarded)
        .routes(routes!(login::login))
        .routes(routes!(health::health))
        .routes(routes!(health::ready))
        .routes(routes!(health::live))
        .routes(routes!(health::metrics))
        .split_for_parts();
    description::complete(&mut api, tokens);
    routes
        .with_state(app)
        .merge(page(SwaggerPage::of(api).ready_to_try()))
        .fallback(|| async { Failure::not_found("there is no such path: see /api-docs") })
        .method_not_allowed_fallback(|| async {
            Failure::new(405, "this path does not accept this method: see /api-docs")
        })
        .layer(CatchPanicLayer::custom(|_: Box<dyn Any + Send>| {
            Failure::new(500, "the service has a defect; its log shows the cause").into_response()
        }))
        .layer(from_fn(count))
        .layer(map_request(|request| async { unread_body::discard_later(request, input::BODY.time) }))
        .layer(from_fn(check_host))
}

/// The Swagger page at `/api-docs`, and the description that it shows.
fn page(page: SwaggerPage) -> Router {
    let file = |State(page): State<SwaggerPage>, input::Name(name): input::Name| async move {
        page.file(&name).ok_or_else(|| Failure::not_found("the page has no such file"))
    };
    let index = |State(page): State<SwaggerPage>| async move {
        page.file("").ok_or_else(|| Failure::not_found("there is no page"))
    };
    // A relative URL stays right behind a proxy that removes a prefix from the path.
    let to_page = || async { Redirect::temporary("api-docs/") };
    Router::new()
        .route(DOCUMENT_PATH, get(async |State(page): State<SwaggerPage>| page.document()))
        .route("/api-docs/", get(index))
        .route("/api-docs/{*file}", get(file))
        .route("/api-docs", get(to_page))
        .route("/", get(to_page))
        .with_state(page)
}

/// Refuses requests without one valid host, as RFC 9112, 3.2, demands.
async fn check_host(request: Request, next: Next) -> Result<Response, Failure> {
    match host::check(request.version(), request.uri(), request.headers()) {
        Ok(()) => Ok(next.run(request).await),
        Err(error) => Err(Failure::new(400, error.to_string())),
    }
}

/// Counts the answers by route and status; what has no route has one label, so that a caller cannot make labels.
async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(|path| Arc::<str>::from(path.as_str()));
    let route = route.unwrap_or_else(|| Arc::from("unmatched"));
    let started = Instant::now();
    let response = next.run(request).await;
    let labels = [("route", route.to_string()), ("status", response.status().as_str().to_owned())];
    metrics::describe_histogram!(
        "events_http_request_duration_seconds",
        metrics::Unit::Seconds,
        "Time until an answer"
    );
    metrics::histogram!("events_http_request_duration_seconds", &labels)
        .record(started.elapsed().as_secs_f64());
    response
}
