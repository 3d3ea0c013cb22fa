//! A consumer: works on the messages of its group, one after the other, and acknowledges each when it is done.

use std::pin::pin;
use std::time::Duration;

use metrics::{counter, describe_counter, describe_histogram, histogram};
use opentelemetry::KeyValue;
use streamgate::channel::{Message, ReadError};
use streamgate::envelope::TraceContext;
use streamgate::stream::{Group, RedisStream, Source};
use streamgate::telemetry::{SpanKind, Tracer};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::message::Event;
use crate::serve::Flow;
use crate::settings::ConsumerArgs;

/// Works until it is stopped. Then it finishes the message in hand and gives back the others that it took.
///
/// Order: first what this name held before a restart, in the order of the stream, then new messages. What other
/// consumers held when they died comes when their lease has ended.
///
/// # Errors
/// The reader cannot start, for example because the key of the stream holds something else.
pub async fn run(args: ConsumerArgs, flow: Flow) -> anyhow::Result<()> {
    let group = Group::new(&args.flow.group).lease(args.lease.0);
    let group = match args.name {
        Some(name) => group.consumer(name),
        None => group,
    };
    let name = group.clone().of(flow.events.key().clone())?.consumer;
    wait_for_name(flow.events.stream(), &args.flow.group, &name, args.lease.0, &flow.stop).await;
    let ready = flow.readiness.latch("reader");
    let mut reader = flow.events.reader(group).batch(args.batch).stop(&flow.stop).readiness(ready).await?;
    let work =
        Work { time: args.work.0, span: format!("process {}", flow.events.key()), tracer: flow.tracer };
    describe_counter!(CONSUMED, "Messages by what became of them: done, rejected, undecodable, lost");
    describe_histogram!(SECONDS, "Time from the start of the work on a message to its acknowledgement");
    tracing::info!(consumer = name, "waiting for messages");
    let mut time_is_up = pin!(async {
        flow.stop.cancelled().await;
        tokio::time::sleep(flow.drain / 2).await;
    });
    while let Some(item) = reader.next().await {
        match item {
            Ok(message) => tokio::select! {
                () = work.run(message) => {}
                // The work takes too long, or Redis is away and cannot take the acknowledgement.
                () = &mut time_is_up => tracing::warn!("time is up: the message in hand will be delivered again"),
            },
            // The reader has made it a dead letter and says so.
            Err(ReadError::Undecodable { .. }) => count("undecodable"),
            Err(ReadError::Redis(error)) => tracing::warn!(%error, "Redis refuses to read; will try again"),
        }
    }
    if tokio::time::timeout(flow.drain / 2, reader.close()).await.is_err() {
        tracing::warn!("Redis did not confirm everything in time: it will be delivered again");
    }
    Ok(())
}

/// Waits until the lease of the process before this one has ended: while Redis takes that process for alive, its name
/// is not free, and what it held does not come first. If a process of this name lives, it is waited for in vain, and
/// the reader takes a name of its own.
async fn wait_for_name(
    stream: &RedisStream,
    group: &str,
    name: &str,
    lease: Duration,
    stop: &CancellationToken,
) {
    let give_up_at = Instant::now() + lease * 2;
    // If Redis is away, the reader waits for it.
    while let Ok(consumers) = stream.consumers(group).await {
        let same = consumers.iter().find(|consumer| consumer.name == name);
        let left = same.and_then(|consumer| lease.checked_sub(consumer.idle));
        let Some(left) = left.filter(|_| Instant::now() < give_up_at) else { return };
        tracing::info!(
            consumer = name,
            left_ms = left.as_millis() as u64,
            "a lease of this name has not ended; waiting"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(left + Duration::from_millis(1)) => {}
        }
    }
}

/// The work on a message.
struct Work {
    time: Duration,
    /// The name of its spans.
    span: String,
    tracer: Tracer,
}

/// Messages by what became of them: done, rejected, undecodable, lost.
const CONSUMED: &str = "redisflow_consumed_total";
/// The time from the start of the work on a message to its acknowledgement.
const SECONDS: &str = "redisflow_consume_seconds";

impl Work {
    /// Works on a message and acknowledges it. One that breaks a rule becomes a dead letter: another try would not
    /// help.
    async fn run(&self, message: Message<Event>) {
        let (id, attempt, started) = (message.id, message.attempt, Instant::now());
        let content = message.value.message.content.clone();
        let parent = message.fields().text("traceparent").and_then(TraceContext::parse);
        let mut span = self.tracer.start(SpanKind::Consumer, parent, || self.span.clone());
        span.record(|| [KeyValue::new("messaging.message.id", id.to_string())]);
        let (result, settled) = match message.value.check() {
            Err(rule) => ("rejected", message.dead_letter(rule).await),
            Ok(()) => {
                tokio::select! {
                    () = tokio::time::sleep(self.time) => {}
                    () = message.lost() => {}
                }
                ("done", message.acknowledge().await)
            }
        };
        match settled {
            Ok(()) => {
                count(result);
                histogram!(SECONDS).record(started.elapsed().as_secs_f64());
                tracing::info!(entry = %id, attempt, content, "{result}");
            }
            Err(error) => {
                count("lost");
                span.fail("not_settled");
                tracing::warn!(entry = %id, attempt, %error, "the work may be done again");
            }
        }
    }
}

fn count(result: &'static str) {
    counter!(CONSUMED, "result" => result).increment(1);
}
