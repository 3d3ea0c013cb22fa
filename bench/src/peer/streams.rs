//! Two contestants of the trial `streams`: the library, and plain commands of the `redis` crate used well.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use clap::{Args, ValueEnum};
use redis::aio::MultiplexedConnection;
use redis::{Client, Pipeline, cmd};
use streamgate::channel::StreamChannel;
use streamgate::connection::Redis;
use streamgate::stream::{Disposition, Group};
use streamgate::worker::{Delivery, Worker};
use tokio_util::sync::CancellationToken;

use super::stream_task::{BATCH, CONSUMER, GROUP, Meter, Order, STREAM, batches};

/// Appends entries, or consumes them with acknowledgement
#[derive(Debug, Args)]
pub struct Options {
    /// What does it
    contestant: Contestant,
    /// What is done
    phase: Phase,
    /// The Redis server
    redis: String,
    /// How many entries
    entries: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Contestant {
    Plain,
    Library,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Phase {
    Append,
    Consume,
}

/// Does it, and prints what it took.
///
/// # Errors
/// Redis does not do what it should.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let (redis, entries) = (options.redis.as_str(), options.entries);
    let meter = Meter::start()?;
    match (options.contestant, options.phase) {
        (Contestant::Plain, Phase::Append) => plain_append(redis, entries).await?,
        (Contestant::Plain, Phase::Consume) => plain_consume(redis, entries).await?,
        (Contestant::Library, Phase::Append) => library_append(redis, entries).await?,
        (Contestant::Library, Phase::Consume) => library_consume(redis, entries).await?,
    }
    println!("{}", serde_json::to_string(&meter.report()?)?);
    Ok(())
}

/// One connection, one pipeline at a time.
async fn plain_append(redis: &str, entries: usize) -> anyhow::Result<()> {
    let mut connection = connect(redis).await?;
    for orders in batches(entries) {
        let mut appends = Pipeline::with_capacity(BATCH);
        for order in &orders {
            appends.cmd("XADD").arg(STREAM).arg("*").arg("body").arg(serde_json::to_vec(order)?);
        }
        let ids: Vec<String> = appends.query_async(&mut connection).await?;
        anyhow::ensure!(ids.len() == orders.len(), "{} of {} orders were appended", ids.len(), orders.len());
    }
    Ok(())
}

/// Two connections: while one waits for Redis, the other decodes.
async fn plain_consume(redis: &str, entries: usize) -> anyhow::Result<()> {
    let mut connection = connect(redis).await?;
    cmd("XGROUP").arg("CREATE").arg(STREAM).arg(GROUP).arg("0").exec_async(&mut connection).await?;
    let (one, other) =
        tokio::try_join!(plain_reader(connection), async { plain_reader(connect(redis).await?).await })?;
    anyhow::ensure!(one + other == entries, "{} of {entries} orders were consumed", one + other);
    Ok(())
}

/// Acknowledges the entries of one read together with the next read, until there are none.
async fn plain_reader(mut connection: MultiplexedConnection) -> anyhow::Result<usize> {
    type Entries = Vec<(String, (String, Vec<u8>))>;
    let (mut finished, mut consumed): (Vec<String>, usize) = (Vec::new(), 0);
    loop {
        let mut round = Pipeline::with_capacity(2);
        if !finished.is_empty() {
            round.cmd("XACK").arg(STREAM).arg(GROUP).arg(&finished).ignore();
        }
        let read = round.cmd("XREADGROUP").arg("GROUP").arg(GROUP).arg(CONSUMER);
        read.arg("COUNT").arg(BATCH).arg("STREAMS").arg(STREAM).arg(">");
        let (streams,): (Option<Vec<(String, Entries)>>,) = round.query_async(&mut connection).await?;
        finished.clear();
        for (id, (_, body)) in streams.into_iter().flatten().flat_map(|(_, entries)| entries) {
            black_box(serde_json::from_slice::<Order>(&body)?);
            finished.push(id);
        }
        if finished.is_empty() {
            return Ok(consumed);
        }
        consumed += finished.len();
    }
}

async fn connect(redis: &str) -> anyhow::Result<MultiplexedConnection> {
    Client::open(redis)?.get_multiplexed_async_connection().await.context("Redis does not answer")
}

/// The writer's batches are as large as the pipelines of the plain commands.
async fn library_append(redis: &str, entries: usize) -> anyhow::Result<()> {
    let writer = StreamChannel::<Order>::new(&Redis::connect(redis).await?, STREAM)?.writer();
    for orders in batches(entries) {
        writer.send_batch(&orders).await?;
    }
    Ok(())
}

async fn library_consume(redis: &str, entries: usize) -> anyhow::Result<()> {
    let channel = StreamChannel::<Order>::new(&Redis::connect(redis).await?, STREAM)?;
    let (consumed, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
    let all = stop.clone();
    Worker::new(&channel, Group::new(GROUP).consumer(CONSUMER))
        .concurrency(4 * BATCH)
        .handle(move |delivery: Delivery<Order>| {
            black_box(delivery.value);
            if consumed.fetch_add(1, Ordering::Relaxed) + 1 == entries {
                all.cancel();
            }
            std::future::ready(Disposition::Acknowledge)
        })
        .run(stop)
        .await?;
    Ok(())
}
