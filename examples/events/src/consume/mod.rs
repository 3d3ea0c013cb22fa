//! The consumers. In reading order: `group` works on events as a member of the consumer groups; `ledger` stores what it
//! makes of them; `letters` notes in the audit trail what was given up; `tally` is the simple consumer.

mod group;
mod ledger;
mod letters;
mod tally;

use std::time::Duration;

use anyhow::Context;
use service::operations::{self, Operations};
use streamgate::connection::{ConnectionMetrics, Redis};
use streamgate::telemetry::Readiness;

use crate::config::{ConsumerSettings, GroupSettings};
use crate::model::STREAMS;
use crate::store::{self, Store, StoreError};

/// How often a consumer looks for new custom streams.
const LOOK: Duration = Duration::from_secs(1);

/// Runs `events consumer-group` until a signal.
///
/// # Errors
/// A part cannot start, or has ended by itself.
pub async fn run_group(settings: GroupSettings) -> anyhow::Result<()> {
    let stop = service::shutdown::on_signal(settings.process.shutdown_grace.0)?;
    let readiness = Readiness::default();
    let operations = port(settings.events_admin_listen, &readiness)?;
    let redis =
        Redis::open(settings.redis.settings(), ConnectionMetrics::declare(), readiness.latch("redis"))?;
    let store = open(&settings.database, &stop).await;
    let Some(store) = store? else { return Ok(()) };
    tracing::info!(
        database = %settings.database.database_url,
        redis = %settings.redis.redis_url,
        name = settings.name,
        "working on all streams"
    );
    group::run(&settings, store, redis, &readiness, stop).await?;
    stop_port(operations).await;
    tracing::info!("stopped");
    Ok(())
}

/// Runs `events consumer` until a signal.
///
/// # Errors
/// A part cannot start, or another process reads under the same name.
pub async fn run_tally(settings: ConsumerSettings) -> anyhow::Result<()> {
    let stop = service::shutdown::on_signal(settings.process.shutdown_grace.0)?;
    let readiness = Readiness::default();
    let operations = port(settings.events_admin_listen, &readiness)?;
    let redis =
        Redis::open(settings.redis.settings(), ConnectionMetrics::declare(), readiness.latch("redis"))?;
    let Some(store) = open(&settings.database, &stop).await? else { return Ok(()) };
    tracing::info!(
        database = %settings.database.database_url,
        redis = %settings.redis.redis_url,
        name = settings.name,
        "counting the entries of all streams"
    );
    let reading = tally::run(&settings, store, redis);
    stop.run_until_cancelled(reading).await.unwrap_or(Ok(()))?;
    stop_port(operations).await;
    tracing::info!("stopped");
    Ok(())
}

/// Opens the database, and waits for it while it cannot be used; `None` if the process is to stop meanwhile.
///
/// # Errors
/// The database refuses what the service needs.
pub async fn open(
    settings: &crate::config::DatabaseArgs,
    stop: &tokio_util::sync::CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let opening = async {
        let mut told = false;
        loop {
            match store::open(settings).await {
                Err(StoreError::Unavailable(error)) => {
                    if !told {
                        tracing::warn!(%error, database = %settings.database_url, "waiting for the database");
                    }
                    told = true;
                    tokio::time::sleep(LOOK).await;
                }
                answer => return answer.context("the database cannot be opened"),
            }
        }
    };
    stop.run_until_cancelled(opening).await.transpose()
}

fn port(listen: Option<std::net::SocketAddr>, readiness: &Readiness) -> anyhow::Result<Option<Operations>> {
    let Some(listen) = listen else { return Ok(None) };
    let listen = listen.to_string();
    let operations = operations::start("events", env!("CARGO_PKG_VERSION"), &listen, readiness)?;
    tracing::info!(operations = %operations.address(), "metrics and probes");
    Ok(Some(operations))
}

async fn stop_port(operations: Option<Operations>) {
    if let Some(operations) = operations {
        operations.stop().await;
    }
}

/// The names of all streams: those of the service and the custom ones.
async fn streams(store: &Store) -> Result<Vec<String>, StoreError> {
    let custom = store.custom_streams().await?;
    Ok(STREAMS.iter().map(|kind| kind.name.to_owned()).chain(custom).collect())
}
