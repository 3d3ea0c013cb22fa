//! HTTP in, request on a Redis stream, reply back out.
//!
//! A request travels through these files, which is also the order to read them in:
//!
//! | File | What it does |
//! |---|---|
//! | `config` | every setting, checked before a port is bound |
//! | `listeners` | the two ports |
//! | `server`, `connection` | connections: how many, for how long, how they end |
//! | `router` | the route table, and what every answer has in common |
//! | `routes/weather` | checks a request, sends it, passes the reply on unread |
//! | `body` | reads a body within its limits |
//! | `upstream` | the seam to the engine in `streamgate::request_reply` |
//! | `problem` | every error becomes an answer here |
//! | `routes/health`, `openapi` | health, description, Swagger UI |
//! | `metrics`, `admin` | what is counted, and the thread that tells it |
//!
//! [`run`] puts them together and takes them apart again.

pub mod admin;
pub mod body;
pub mod config;
pub mod connection;
pub mod listeners;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod router;
pub mod routes;
pub mod server;
pub mod upstream;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use streamgate::connection::Redis;
use streamgate::request_reply::Requester;
use streamgate::stream::InvalidStreamKey;
use streamgate::telemetry::Readiness;
use streamgate::telemetry::metrics as engine_metrics;
use tokio::net::TcpListener;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::body::BodyLimits;
use crate::config::Settings;
use crate::listeners::Listeners;
use crate::metrics::{ConnectionMetrics, HttpMetrics};
use crate::router::{Limits, Router};
use crate::routes::health::Health;
use crate::server::ServerLimits;
use crate::upstream::Engine;

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// REDIS_URL cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[source] streamgate::connection::Error),
    /// REPLY_STREAM and INGRESS_REPLICA make no stream name.
    #[error("REPLY_STREAM with INGRESS_REPLICA {0}")]
    ReplyLane(InvalidStreamKey),
    /// A listener could not be taken over.
    #[error("the listener cannot be used")]
    Listener(#[source] io::Error),
    /// The admin thread could not be started.
    #[error("the admin thread cannot start")]
    Admin(#[source] io::Error),
    /// The public server ended by itself.
    #[error("the server ended by itself")]
    Server(#[source] Option<JoinError>),
    /// The admin thread ended by itself.
    #[error("the admin thread ended by itself")]
    AdminEnded,
    /// The metrics recorder could not be built.
    #[error("metrics cannot be recorded: {0}")]
    Metrics(String),
}

/// Serves until `shutdown` is cancelled, then drains: not ready, SHUTDOWN_DELAY, no new
/// connections, requests under way finished, Redis let go, admin listener last. Ends within
/// SHUTDOWN_GRACE of the cancellation.
///
/// # Errors
/// Something it needs could not be set up. Redis being away is no error: the gateway starts, is
/// not ready, and says so.
pub async fn run(
    settings: Settings,
    listeners: Listeners,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    let recorder =
        engine_metrics::prometheus_recorder().map_err(|error| RunError::Metrics(error.to_string()))?;
    let (scrapes, recorder) = (recorder.handle(), Arc::new(recorder));
    let readiness = Readiness::default();
    let (accepting, reachable, listening) =
        (readiness.latch("listener"), readiness.latch("redis"), readiness.latch("replies"));
    let (redis_metrics, requester_metrics, connection_metrics) =
        ::metrics::with_local_recorder(&recorder, || {
            (
                engine_metrics::ConnectionMetrics::declare(),
                engine_metrics::RequesterMetrics::declare(),
                ConnectionMetrics::declare(),
            )
        });

    let redis = Redis::open(settings.redis(), redis_metrics, reachable).map_err(RunError::Redis)?;
    // Whichever way this function ends, the engine ends with it.
    let engine_stopped = CancellationToken::new();
    let engine_stop = engine_stopped.clone().drop_guard();
    let requester =
        Requester::start(redis.clone(), settings.requester(), requester_metrics, listening, engine_stopped)
            .map_err(RunError::ReplyLane)?;
    let engine = Engine { requester, redis };
    let health = Health::new(engine.clone(), readiness.clone());
    let admin =
        admin::start(listeners.admin, admin::routes(scrapes.clone(), readiness, health.clone()), scrapes)
            .map_err(RunError::Admin)?;

    let router = Router::new(engine, health, limits_of(&settings), HttpMetrics::declare(recorder));
    let listener = TcpListener::from_std(listeners.public).map_err(RunError::Listener)?;
    let server_stop = CancellationToken::new();
    let mut serving = AbortOnDropHandle::new(tokio::spawn(server::serve(
        listener,
        server_limits_of(&settings),
        connection_metrics,
        server_stop.clone(),
        move |request| {
            let router = router.clone();
            async move { router.answer(request).await }
        },
    )));
    accepting.set(true);

    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut serving => return Err(RunError::Server(ended.err())),
        () = admin.ended() => return Err(RunError::AdminEnded),
    }
    accepting.set(false);
    tokio::time::sleep(settings.shutdown_delay.0).await;
    server_stop.cancel();
    match serving.await {
        Ok(0) => {}
        Ok(connections) => tracing::warn!(connections, "cut off: SHUTDOWN_GRACE is nearly over"),
        Err(error) => return Err(RunError::Server(Some(error))),
    }
    drop(engine_stop);
    admin.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn limits_of(settings: &Settings) -> Limits {
    let body = BodyLimits { size: settings.body_limit, time: settings.header_timeout.0 };
    Limits { body, timeout: settings.request_timeout.0 }
}

/// What SHUTDOWN_GRACE keeps for the steps after the last request, if it is long enough.
const LAST_STEPS: Duration = Duration::from_secs(1);

fn server_limits_of(settings: &Settings) -> ServerLimits {
    let left = settings.shutdown_grace.0.saturating_sub(settings.shutdown_delay.0);
    ServerLimits {
        connections: settings.max_connections,
        first_request: settings.header_timeout.0,
        idle: settings.idle_timeout.0,
        drain: left - LAST_STEPS.min(left / 2),
    }
}
