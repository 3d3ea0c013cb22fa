//! sea-streamer: the producer sends in pipelines of its own, the consumer acknowledges in the background.

use std::hint::black_box;

use sea_streamer_redis::{AutoCommit, AutoStreamReset, RedisConsumerOptions, RedisStreamer};
use sea_streamer_types::{
    Buffer, Consumer, ConsumerGroup, ConsumerMode, ConsumerOptions, Message, Producer, StreamKey, Streamer,
};

use crate::stream_task::{BATCH, GROUP, Order, STREAM, batches};

pub async fn append(redis: &str, entries: usize) -> anyhow::Result<()> {
    let streamer = RedisStreamer::connect(redis.parse()?, Default::default()).await?;
    let producer = streamer.create_producer(StreamKey::new(STREAM)?, Default::default()).await?;
    for orders in batches(entries) {
        let sent = orders.iter().map(|order| anyhow::Ok(producer.send(serde_json::to_string(order)?)?));
        for receipt in sent.collect::<Result<Vec<_>, _>>()? {
            receipt.await?;
        }
    }
    Ok(producer.end().await?)
}

pub async fn consume(redis: &str, entries: usize) -> anyhow::Result<()> {
    let streamer = RedisStreamer::connect(redis.parse()?, Default::default()).await?;
    let mut options = RedisConsumerOptions::new(ConsumerMode::LoadBalanced);
    options.set_consumer_group(ConsumerGroup::new(GROUP))?;
    options.set_auto_stream_reset(AutoStreamReset::Earliest);
    options.set_auto_commit(AutoCommit::Rolling).set_batch_size(BATCH);
    let consumer = streamer.create_consumer(&[StreamKey::new(STREAM)?], options).await?;
    for _ in 0..entries {
        let message = consumer.next().await?;
        black_box(serde_json::from_slice::<Order>(message.message().as_bytes())?);
        consumer.ack(&message)?;
    }
    Ok(consumer.end().await?)
}
