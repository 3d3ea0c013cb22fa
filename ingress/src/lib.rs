//! Takes HTTP requests, puts them on a Redis stream, and answers with the replies of the workers.
//!
//! A request passes through these files; read them in this order:
//!
//! | File | What it does |
//! |---|---|
//! | `config`, `listeners` | reads and checks every setting, then binds the two ports |
//! | `router` | the route table and its layers |
//! | `answer_layer` | the layer around every route: correlation id, errors, metrics |
//! | `api_keys` | checks the API key and its rate limit, if API_KEYS_FILE is set |
//! | `cors` | lets web pages send requests, if CORS_ALLOWED_ORIGINS is set |
//! | `serving` | the routes in force: the weather alone, or those of ROUTES_FILE |
//! | `routes/weather` | checks a request, sends it, and returns the reply without parsing it |
//! | `routes/any` | does the same for the routes of a file, by their rules |
//! | `gateway` | the state that the handlers share, with the engine `streamgate::requester` |
//! | `problem` | turns every error into an answer |
//! | `routes/health`, `openapi` | health, description, Swagger UI |
//! | `metrics` | declares the metrics |
//! | `commands` | `ingress check` and the other commands about a routes file |
//!
//! `service::http` handles connections, their limits and the admin listener. [`run`] starts all parts
//! and stops them again.

pub mod answer_layer;
pub mod api_keys;
pub mod commands;
pub mod config;
pub mod cors;
pub mod gateway;
pub mod listeners;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod router;
pub mod routes;
pub mod serving;

use std::io;
use std::sync::Arc;

use ::metrics::{Recorder, with_local_recorder};
use ::routes::Watch;
use service::config::ConfigError;
use service::exporter::{MetricsRecorder, ProcessMetrics};
use service::http::admin::{self, AdminThread};
use service::http::{self, ServerMetrics};
use service::liveness::Liveness;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::Redis;
use streamgate::requester::{Requester, RequesterMetrics};
use streamgate::stream::InvalidStreamKey;
use streamgate::telemetry::{Readiness, Tracer};
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::api_keys::ApiKeys;
use crate::api_keys::file::Broken;
use crate::api_keys::metrics::ApiKeyMetrics;
use crate::config::Settings;
use crate::gateway::Gateway;
use crate::listeners::Listeners;
use crate::metrics::HttpMetrics;
use crate::serving::metrics::ServingMetrics;
use crate::serving::{Parts, Serving};

/// Serves until `shutdown` is cancelled, then drains in this order: report not ready, wait for
/// SHUTDOWN_DELAY, accept no more connections, finish the requests under way, disconnect from Redis,
/// close the admin listener. It ends within SHUTDOWN_GRACE of the cancellation.
///
/// # Errors
/// A part cannot start, or ends by itself. If Redis does not answer, that is not an error: the gateway
/// starts and reports that it is not ready.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    tracer: Tracer,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let recorder = MetricsRecorder::default();
    let (scrapes, recorder) = (recorder.handle(), Arc::new(recorder));
    let routes = settings.load_routes().map_err(RunError::Routes)?;
    let requester_settings = settings.requester(tracer.clone(), routes.longest_timeout());
    let (redis_metrics, requester_metrics, server_metrics) = with_local_recorder(&recorder, || {
        (
            ConnectionMetrics::declare(),
            RequesterMetrics::declare(&requester_settings),
            ServerMetrics::declare(),
        )
    });
    let (liveness, readiness) = (Liveness::default(), Readiness::default());
    let _ticking = liveness.tick();
    let (accepting, reachable) = (readiness.latch("listener"), readiness.latch("redis"));

    let api_keys = api_keys(&settings, Arc::clone(&recorder) as _)?;
    let redis = Redis::open(settings.redis.settings(), redis_metrics, reachable).map_err(RunError::Redis)?;
    // The drop guard stops the requester however this function ends.
    let requester_stopped = CancellationToken::new();
    let stop_requester = requester_stopped.clone().drop_guard();
    let requester =
        Requester::start(redis.clone(), requester_settings, requester_metrics, &readiness, requester_stopped)
            .map_err(RunError::ReplyLane)?;
    let process = ProcessMetrics::declare(Arc::clone(&recorder) as _, "ingress", env!("CARGO_PKG_VERSION"));
    let probes = admin::routes(scrapes, liveness.clone(), readiness.clone());
    let admin =
        AdminThread::start(listeners.admin, probes, process, liveness.clone()).map_err(RunError::Admin)?;

    let (routes, file) = match &settings.routes_file {
        Some(path) => {
            let file = Arc::new(Watch::new(path, routes));
            (file.current(), Some(file))
        }
        None => (Arc::new(routes), None),
    };
    let parts = Parts {
        requester: requester.clone(),
        settings: settings.clone(),
        keys: api_keys.clone(),
        metrics: ServingMetrics::declare(Arc::clone(&recorder) as _),
        recorder: Arc::clone(&recorder) as _,
    };
    let serving = Arc::new(Serving::of(routes, parts).map_err(RunError::Rule)?);
    let gateway = Gateway { serving: Arc::clone(&serving), redis, liveness, readiness };
    let http_metrics = HttpMetrics::declare(Arc::clone(&recorder) as _);
    let router = router::router(
        Arc::new(gateway),
        http_metrics,
        tracer,
        settings.cors_allowed_origins.clone().map(cors::layer),
    );
    let mut watching = AbortOnDropHandle::new(tokio::spawn(api_keys::reload::watch(api_keys)));
    let mut reloading = AbortOnDropHandle::new(tokio::spawn(serving::reload::watch(serving, file)));
    let listener = TcpListener::from_std(listeners.public).map_err(RunError::Listener)?;
    let stop_accepting = CancellationToken::new();
    let limits = settings.server().within_open_files();
    let serving = http::serve(listener, router, limits, server_metrics, stop_accepting.clone());
    let mut serving = AbortOnDropHandle::new(tokio::spawn(serving));
    accepting.set(true);

    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut serving => return Err(RunError::Server(ended.err())),
        () = requester.ended() => return Err(RunError::RequesterEnded),
        () = admin.ended() => return Err(RunError::AdminEnded),
        _ = &mut watching => return Err(RunError::WatchEnded),
        _ = &mut reloading => return Err(RunError::ReloadEnded),
    }
    accepting.set(false);
    tokio::time::sleep(settings.process.shutdown_delay.0).await;
    stop_accepting.cancel();
    let all_finished = serving.await.map_err(|error| RunError::Server(Some(error)))?;
    if !all_finished {
        tracing::warn!("SHUTDOWN_GRACE is nearly over: requests under way were cut off");
    }
    drop(stop_requester);
    admin.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// The API keys, if the settings name a file of keys.
fn api_keys(
    settings: &Settings,
    recorder: Arc<dyn Recorder + Send + Sync>,
) -> Result<Option<Arc<ApiKeys>>, RunError> {
    let Some(path) = &settings.api_keys_file else {
        tracing::warn!(
            "requests need no API key: every caller that can connect may send requests; set API_KEYS_FILE to require API keys"
        );
        return Ok(None);
    };
    let keys = ApiKeys::open(path, settings.api_key_max_waiting, ApiKeyMetrics::declare(recorder))
        .map_err(RunError::ApiKeys)?;
    tracing::info!(file = %path.display(), keys = keys.count(), "callers need an API key");
    Ok(Some(Arc::new(keys)))
}

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// REDIS_URL cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[source] streamgate::connection::Error),
    /// REPLY_STREAM and INGRESS_REPLICA make no stream name.
    #[error("REPLY_STREAM with INGRESS_REPLICA {0}")]
    ReplyLane(InvalidStreamKey),
    /// The public listener cannot be used by the async runtime.
    #[error("the listener cannot be used")]
    Listener(#[source] io::Error),
    /// The admin thread cannot start.
    #[error("the admin thread cannot start")]
    Admin(#[source] io::Error),
    /// The public server ended by itself.
    #[error("the server ended by itself")]
    Server(#[source] Option<JoinError>),
    /// A part of the requester ended by itself. This is a defect: no caller would get a reply any more.
    #[error("the requester ended by itself")]
    RequesterEnded,
    /// The admin thread ended by itself.
    #[error("the admin thread ended by itself")]
    AdminEnded,
    /// API_KEYS_FILE became invalid after the settings were checked.
    #[error("API_KEYS_FILE {0}")]
    ApiKeys(Broken),
    /// ROUTES_FILE became invalid after the settings were checked.
    #[error(transparent)]
    Routes(ConfigError),
    /// ROUTES_FILE and the other settings do not fit.
    #[error("ROUTES_FILE {0}")]
    Rule(String),
    /// The task that watches ROUTES_FILE ended. This is a defect: changes would not take effect.
    #[error("the task that watches ROUTES_FILE ended by itself")]
    ReloadEnded,
    /// The task that watches API_KEYS_FILE ended. This is a defect: revoked keys would stay valid.
    #[error("the task that watches API_KEYS_FILE ended by itself")]
    WatchEnded,
}
