use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::{Event, Shared};
use crate::stream::{Begin, Findings, News, Start, StreamsReader};

/// Reads the stream and puts what it finds into the ring, until the shutdown.
pub(super) async fn run<T: Send + Sync + 'static>(
    shared: Arc<Shared<T>>,
    changed: watch::Sender<u64>,
    block: Duration,
) {
    let streams = vec![(shared.key.clone(), Begin::Start(Start::End))];
    let mut reader = StreamsReader::new(shared.redis.clone(), streams, block, "broadcast");
    loop {
        let findings = tokio::select! {
            () = shared.shutdown.cancelled() => return,
            findings = reader.read() => findings,
        };
        shared.reading.store(reader.has_begun(0) && reader.is_reading(), Ordering::Relaxed);
        if publish(&shared, &reader, findings) {
            changed.send_modify(|change| *change += 1);
        }
    }
}

/// Puts findings into the ring; true if the ring has changed.
fn publish<T>(shared: &Shared<T>, reader: &StreamsReader, findings: Findings) -> bool {
    let entries = findings.batches.into_iter().flat_map(|batch| batch.entries);
    let events: Vec<_> = entries.map(|entry| (entry.id, entry.fields.size(), shared.event(&entry))).collect();
    let mut ring = shared.ring();
    let mut has_changed = !events.is_empty();
    if !ring.has_begun() && reader.has_begun(0) {
        ring.begin(reader.position(0));
        has_changed = true;
    }
    for (_, news) in findings.news {
        match news {
            News::StartedOver => ring.start_over(reader.position(0)),
            News::Missed(missed) => {
                ring.push(missed.to, 0, Event::Gap { from: missed.from, to: missed.to });
                has_changed = true;
            }
            // The reader logs it, and tries again until it works.
            News::Fault(_) => {}
        }
    }
    for (id, size, event) in events {
        ring.push(id, size, event);
    }
    has_changed
}
