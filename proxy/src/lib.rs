//! The worker: takes requests from streams, does the work or forwards it to an HTTP service, replies.
//!
//! The `streamgate` library handles streams, deadlines and settling. This crate holds the work itself
//! and the operations API. In reading order:
//!
//! | Module | What it does |
//! |---|---|
//! | [`config`] | every setting, checked before a port is bound |
//! | [`weather`] | the work: from a request to a forecast |
//! | [`forward`] | the work of other services: from a request to the answer of an upstream |
//! | [`streams`] | which streams are served, as the routes file says |
//! | [`housekeeping`] | refreshes the gauges of streams at every tick |
//! | [`operations`] | the API on `:5010`: health, metrics, streams, dead letters |
//!
//! [`run`] starts these parts and stops them again. With [`run_with`], a test can wrap the work.

pub mod config;
pub mod forward;
pub mod housekeeping;
pub mod metrics;
pub mod operations;
mod retry_after;
pub mod streams;
pub mod weather;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use ::routes::{Faults, Routes, Watch};
use service::exporter::{MetricsRecorder, ProcessMetrics};
use service::http::admin::AdminThread;
use service::liveness::Liveness;
use streamgate::connection::ConnectionMetrics;
use streamgate::connection::Redis;
use streamgate::responder::{Handler, Responder, ResponderMetrics};
use streamgate::telemetry::{Readiness, Tracer};
use streamgate::worker::PartEnded;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

use crate::config::{ProviderName, Settings};
use crate::forward::SetupError;
use crate::housekeeping::Housekeeping;
use crate::metrics::{OperationMetrics, StreamMetrics};
use crate::operations::Operations;
use crate::streams::{Served, ServedQueue, Setup, Supervisor, follow};
use crate::weather::{OpenMeteo, Provider, Simulated, UpstreamMetrics, WeatherHandler};

/// Why the process could not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// REDIS_URL cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[from] streamgate::connection::Error),
    /// The operations thread could not be started.
    #[error("the operations thread cannot start")]
    Operations(#[source] io::Error),
    /// A part of the worker ended unexpectedly.
    #[error(transparent)]
    Part(#[from] PartEnded),
    /// A task or thread of this process ended unexpectedly.
    #[error("the {0} ended by itself")]
    Ended(&'static str),
    /// The routes file has faults.
    #[error("ROUTES_FILE cannot be used")]
    Routes(#[from] Faults),
    /// The client of an upstream could not be set up.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// The weather provider could not be set up.
    #[error("the weather provider cannot be used")]
    Provider(#[from] weather::open_meteo::SetupError),
}

/// Works until `shutdown` is cancelled, then drains within SHUTDOWN_GRACE: the worker reports that it
/// is not ready, waits for SHUTDOWN_DELAY, takes no new entries, and finishes or hands back the
/// entries that it holds. The operations API stops last.
///
/// # Errors
/// See [`RunError`]. An unreachable Redis is no error: the worker starts and reports that it is not
/// ready.
pub async fn run(
    settings: Settings,
    listener: TcpListener,
    tracer: Tracer,
    shutdown: CancellationToken,
) -> Result<(), RunError> {
    run_with(settings, listener, tracer, shutdown, |handler| handler).await
}

/// [`run`], with the work wrapped by `decorate`: a fault harness makes the work fail on purpose, and
/// the released process contains no such fault.
///
/// # Errors
/// As [`run`].
pub async fn run_with<H: Handler>(
    settings: Settings,
    listener: TcpListener,
    tracer: Tracer,
    shutdown: CancellationToken,
    decorate: impl FnOnce(WeatherHandler<Provider>) -> H,
) -> Result<(), RunError> {
    let recorder = MetricsRecorder::default();
    let (scrapes, recorder) = (recorder.handle(), Arc::new(recorder));
    let routes = settings.routes.routes_file.as_deref().map(Routes::load).transpose()?;
    let responder_settings = settings.responder(tracer.clone());
    let (connection_metrics, upstream_metrics, operation_metrics) =
        ::metrics::with_local_recorder(&recorder, || {
            let operations = OperationMetrics::declare(settings.retention.dead_letters_kept as usize);
            (ConnectionMetrics::declare(), UpstreamMetrics::declare(), operations)
        });
    let (liveness, readiness) = (Liveness::default(), Readiness::default());
    let _ticking = liveness.tick();
    let (working, reachable) = (readiness.latch("worker"), readiness.latch("redis"));

    let redis = Redis::open(settings.redis.settings(), connection_metrics, reachable)?;
    let provider = provider(&settings, &redis, upstream_metrics, tracer)?;
    let upstream = provider.circuits();
    let handler = decorate(WeatherHandler::new(provider));
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        operations = %listener.local_addr().unwrap_or(settings.proxy_listen),
        redis = %settings.redis.redis_url,
        requests = %settings.streams.request_stream,
        group = responder_settings.group.group,
        routes = routes.as_ref().map(|routes| routes.version.as_str()),
        worker = %responder_settings.worker,
        provider = ?settings.weather.weather_provider,
        "starting"
    );
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let grace = settings.process.drain();
    let worker = responder_settings.worker.to_string();
    let (served, mut following, mut responding) = match (routes, &settings.routes.routes_file) {
        (Some(routes), Some(file)) => {
            let watch = Arc::new(Watch::new(file, routes));
            let following = tokio::spawn(follow(Arc::clone(&watch), Arc::clone(&recorder) as _));
            let setup = Setup {
                redis: redis.clone(),
                settings: responder_settings,
                only: settings.routes.only.clone(),
                weather: handler,
                routes: watch.subscribe(),
                recorder: Arc::clone(&recorder) as _,
                readiness: readiness.clone(),
            };
            let supervisor = Supervisor::start(setup, stop.clone(), grace)?;
            (supervisor.served(), following, tokio::spawn(supervisor.run()))
        }
        _ => {
            let metrics =
                ::metrics::with_local_recorder(&recorder, || ResponderMetrics::declare(&responder_settings));
            let responder = Responder::new(redis.clone(), responder_settings, metrics, &readiness, handler);
            let timeout = settings.streams.request_timeout.0;
            let served = Served::built_in(ServedQueue::built_in(responder.group().clone(), timeout));
            (served, tokio::spawn(std::future::pending()), tokio::spawn(responder.run(stop.clone(), grace)))
        }
    };

    let operations = Operations::new(
        &settings,
        redis.clone(),
        worker,
        served.clone(),
        readiness,
        upstream,
        operation_metrics,
    );
    let process = ProcessMetrics::declare(Arc::clone(&recorder) as _, "proxy", env!("CARGO_PKG_VERSION"));
    let router = operations.router(scrapes, liveness.clone());
    let admin = AdminThread::start(listener, router, process, liveness).map_err(RunError::Operations)?;

    let housekeeping = Housekeeping {
        reply_stream: settings.streams.reply_stream.clone(),
        period: settings.retention.housekeeping_period.0,
        metrics: StreamMetrics::declare(recorder),
        redis,
        served,
        grace: settings.worker.group.consumer_grace.0,
    };
    let mut keeping_house = tokio::spawn(housekeeping.run(stop.clone()));
    working.set(true);

    tokio::select! {
        () = shutdown.cancelled() => {}
        ended = &mut responding => return Err(worker_ended(ended)),
        _ = &mut following => return Err(RunError::Ended("watch of the routes file")),
        _ = &mut keeping_house => return Err(RunError::Ended("housekeeping")),
        () = admin.ended() => return Err(RunError::Ended("operations thread")),
    }
    working.set(false);
    tokio::time::sleep(settings.process.shutdown_delay.0).await;
    stop.cancel();
    let drained = responding.await;
    admin.stop().await;
    if !matches!(drained, Ok(Ok(()))) {
        return Err(worker_ended(drained));
    }
    tracing::info!("stopped");
    Ok(())
}

/// Names the part of the worker that ended, if the worker returned it.
fn worker_ended(ended: Result<Result<(), PartEnded>, JoinError>) -> RunError {
    match ended {
        Ok(Err(part)) => RunError::Part(part),
        Ok(Ok(())) | Err(_) => RunError::Ended("worker"),
    }
}

fn provider(
    settings: &Settings,
    redis: &Redis,
    metrics: UpstreamMetrics,
    tracer: Tracer,
) -> Result<Provider, RunError> {
    Ok(match settings.weather.weather_provider {
        ProviderName::Simulated => {
            Provider::Simulated(Simulated::new(redis.clock().clone(), settings.weather.simulated_latency))
        }
        ProviderName::OpenMeteo => {
            Provider::OpenMeteo(Box::new(OpenMeteo::new(settings.weather.open_meteo(), metrics, tracer)?))
        }
    })
}
