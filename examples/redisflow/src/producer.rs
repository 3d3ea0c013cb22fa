//! A producer: makes a message at every tick, keeps it while Redis is away, and sends all in the order they were made.

use std::time::Duration;

use anyhow::bail;
use jiff::Timestamp;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use opentelemetry::KeyValue;
use streamgate::channel::{StreamWriter, WriteError};
use streamgate::connection::RetryLog;
use streamgate::stream::{EntryId, Source};
use streamgate::telemetry::{SpanKind, Tracer};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::message::{Event, EventCodec, ProducerName};
use crate::serve::Flow;
use crate::settings::ProducerArgs;

/// Messages that this producer made.
const MADE: &str = "redisflow_made_total";
/// Messages that are known to be stored.
const SENT: &str = "redisflow_sent_total";
/// Messages that wait to be sent.
const KEPT: &str = "redisflow_kept";

/// Makes and sends messages until it is stopped; then it sends those that it keeps.
///
/// Order: a message is sent when the one before it is stored. A message whose confirmation got lost is sent again, and
/// may then be on the stream twice, once behind the other.
///
/// # Errors
/// Messages were made and could not be sent in the time to stop.
pub async fn run(args: ProducerArgs, flow: Flow) -> anyhow::Result<()> {
    describe_counter!(MADE, "Messages that this producer made");
    describe_counter!(SENT, "Messages that Redis has confirmed");
    describe_gauge!(KEPT, "Messages made and not sent yet");
    let (keep, mut kept) = mpsc::channel(args.keep);
    let making = tokio::spawn(make(args.name, args.every.0, keep, flow.stop.clone()));
    let sender = Sender {
        span: format!("send {}", flow.events.key()),
        writer: flow.events.writer(),
        tracer: flow.tracer,
    };
    let time_is_up = async {
        flow.stop.cancelled().await;
        tokio::time::sleep(flow.drain).await;
    };
    tokio::select! {
        () = sender.run(&mut kept) => Ok(making.await?),
        () = time_is_up => bail!(
            "{} messages were made and not sent, because Redis was away until the end: start Redis first",
            kept.len() + 1
        ),
    }
}

/// Makes messages until `stop`. While `keep` is full, it makes none: so none is lost, and memory is bounded.
async fn make(name: ProducerName, every: Duration, keep: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 1_u64.. {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if keep.capacity() == 0 {
            let kept = keep.max_capacity();
            tracing::warn!(kept, "Redis is away, and no more is kept: makes no messages until it is back");
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            room = keep.reserve() => {
                let Ok(room) = room else { return };
                let now = Timestamp::now();
                let content = format!("Message #{number} from {name} at {}", now.strftime("%H:%M:%S"));
                room.send(Event::new(&name, content, now));
                counter!(MADE).increment(1);
            }
        }
    }
}

struct Sender {
    /// The name of its spans.
    span: String,
    writer: StreamWriter<Event, EventCodec>,
    tracer: Tracer,
}

impl Sender {
    /// Sends what is kept, one message after the other, until no more is made.
    async fn run(self, kept: &mut mpsc::Receiver<Event>) {
        let mut outage = RetryLog::new("producer");
        while let Some(event) = kept.recv().await {
            let id = loop {
                gauge!(KEPT).set((kept.len() + 1) as f64);
                match self.send(&event).await {
                    Ok(id) => break id,
                    Err(error) => tokio::time::sleep(outage.failed(&error)).await,
                }
            };
            outage.healed();
            counter!(SENT).increment(1);
            gauge!(KEPT).set(kept.len() as f64);
            tracing::info!(entry = %id, content = event.message.content, "sent");
        }
    }

    async fn send(&self, event: &Event) -> Result<EntryId, WriteError> {
        let mut span = self.tracer.start(SpanKind::Producer, None, || self.span.clone());
        let traceparent = span.context().map(|context| context.to_string());
        let further = traceparent.as_deref().map(|text| ("traceparent", text));
        // Boxed: the compiler refuses types of futures that are nested too deeply.
        let sent = span.around(Box::pin(self.writer.send_with(event, further))).await;
        match &sent {
            Ok(id) => span.record(|| [KeyValue::new("messaging.message.id", id.to_string())]),
            Err(_) => span.fail("not_stored"),
        }
        sent
    }
}
