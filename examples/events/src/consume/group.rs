//! `events consumer-group`: one worker for each stream, all in one process.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{Disposition, Group, HousekeepingSettings, RedisStream, Retention};
use streamgate::telemetry::Readiness;
use streamgate::worker::{Delivery, Worker};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::ledger::{Ledger, Settled};
use super::{LOOK, letters, streams};
use crate::config::GroupSettings;
use crate::model::{Arrival, CUSTOM_GROUP, STREAMS};
use crate::store::{Store, Verdict};

/// Events of one stream that are worked on at once.
const CONCURRENCY: usize = 128;

/// Finished entries stay on their stream for a day, so that the simple consumer may be late.
const RETENTION: Retention =
    Retention { entries: 1_000_000, age: Duration::from_secs(86_400), bytes: 256 << 20 };

/// Works until `stop`. A custom stream that appears later gets a worker, too.
pub(super) async fn run(
    settings: &GroupSettings,
    store: Store,
    redis: Redis,
    readiness: &Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut parts = JoinSet::new();
    let (noting, stopped) = (letters::run(store.clone(), redis.clone()), stop.clone());
    parts.spawn(async move {
        stopped.run_until_cancelled(noting).await;
        Ok(())
    });
    let mut known = HashSet::new();
    loop {
        // While the database cannot be read, the workers that run go on.
        for stream in streams(&store).await.unwrap_or_default() {
            if known.insert(stream.clone()) {
                let source = RedisStream::new(&redis, &stream).context("the name of a stream")?;
                parts.spawn(work(
                    settings.clone(),
                    source,
                    stream,
                    store.clone(),
                    readiness.clone(),
                    stop.clone(),
                ));
            }
        }
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = parts.join_next() => {
                outcome(ended)?;
                anyhow::ensure!(stop.is_cancelled(), "a part of the consumer ended by itself");
            }
            () = tokio::time::sleep(LOOK) => {}
        }
    }
    while let Some(ended) = parts.join_next().await {
        outcome(ended)?;
    }
    Ok(())
}

fn outcome(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("a part of the consumer panicked")?
}

/// Works on one stream until `stop`.
async fn work(
    settings: GroupSettings,
    source: RedisStream,
    stream: String,
    store: Store,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let kind = STREAMS.iter().find(|kind| kind.name == stream);
    let mut group = Group::new(kind.map_or(CUSTOM_GROUP, |kind| kind.group));
    if let Some(name) = &settings.name {
        group = group.consumer(name);
    }
    let worker = Worker::new(&source, group)
        .concurrency(CONCURRENCY)
        .retry(settings.retry())
        .grace(settings.process.drain())
        .housekeeping(HousekeepingSettings { retention: RETENTION, ..HousekeepingSettings::default() })
        .readiness(&readiness);
    // The worker's name is known once it has joined: another process may have the wanted one.
    let stats = worker.stats();
    let ledger = Ledger::start(store, move || stats.get().consumer);
    let handler = move |delivery: Delivery<Fields>| {
        let arrival = Arrival::read(&stream, delivery.id, &delivery.value, delivery.attempt);
        let ledger = ledger.clone();
        async move {
            match ledger.settle(arrival).await {
                Settled::Is(Verdict::Applied | Verdict::Duplicate) => Ok(Disposition::Acknowledge),
                Settled::Is(Verdict::Failed(reason)) => Err(reason),
                Settled::Is(Verdict::Malformed(reason)) => Ok(Disposition::DeadLetter(reason)),
                // An outage of the database uses up no delivery.
                Settled::NotNow => Ok(Disposition::HandBack),
            }
        }
    };
    Ok(worker.handle(handler).run(stop).await?)
}
