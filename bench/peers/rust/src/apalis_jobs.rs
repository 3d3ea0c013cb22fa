//! apalis with its Redis storage: jobs are pushed and fetched in batches, and a worker runs up to 256 at once.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::anyhow;
use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};

use crate::stream_task::{BATCH, CONSUMER, Order, STREAM, batches};

async fn storage(redis: &str) -> anyhow::Result<RedisStorage<Order>> {
    let config = Config::default().queue(STREAM).batch_size(BATCH);
    Ok(RedisStorage::new(apalis_redis::connect(redis).await?).with_config(config))
}

pub async fn append(redis: &str, entries: usize) -> anyhow::Result<()> {
    let mut storage = storage(redis).await?;
    for orders in batches(entries) {
        storage.push_bulk(orders).await.map_err(|error| anyhow!("{error:?}"))?;
    }
    Ok(())
}

pub async fn consume(redis: &str, entries: usize) -> anyhow::Result<()> {
    static CONSUMED: AtomicUsize = AtomicUsize::new(0);
    let handler = move |order: Order, worker: WorkerContext| async move {
        black_box(order);
        if CONSUMED.fetch_add(1, Ordering::Relaxed) + 1 == entries {
            worker.stop()?;
        }
        Ok::<(), BoxDynError>(())
    };
    let worker = WorkerBuilder::new(CONSUMER).backend(storage(redis).await?).concurrency(2 * BATCH);
    worker.build(handler).run().await.map_err(|error| anyhow!("{error:?}"))?;
    Ok(())
}
