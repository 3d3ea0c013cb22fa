//! The one reader of a reply lane: completes whoever waits.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admission::Admission;
use super::lane_conflict::LaneConflict;
use super::lane_upkeep::{Finished, Progress};
use super::metrics::RequesterMetrics;
use super::pending::{Completion, PendingReplies, Received};
use crate::clock::ServerClock;
use crate::envelope::Reply;
use crate::stream::{Entry, EntryId, TailReader};
use crate::telemetry::Latch;

pub(super) struct ReplyReader {
    pub(super) tail: TailReader,
    pub(super) pending: PendingReplies,
    pub(super) metrics: RequesterMetrics,
    pub(super) clock: Arc<ServerClock>,
    /// Nobody else reads this lane, so a reply that nobody waits for is late, not foreign.
    pub(super) own_lane: bool,
    /// How far the lane has been read, for its upkeep.
    pub(super) finished: watch::Sender<Finished>,
    pub(super) listening: Latch,
    pub(super) admission: Arc<Admission>,
    pub(super) strangers: LaneConflict,
}

impl ReplyReader {
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.tail.start(&stop).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.clock.known() => {}
        }
        self.listening.set(true);
        let start = if self.own_lane { EntryId::MIN } else { self.tail.position() };
        let mut progress = Progress::from(start, self.finished.clone());
        loop {
            let read = tokio::select! {
                () = stop.cancelled() => return,
                read = self.tail.read() => read,
            };
            match read {
                Ok(entries) => {
                    self.listening.set(true);
                    if self.tail.has_started_over() {
                        self.strangers.read_again();
                    }
                    for entry in entries {
                        let ours = self.complete(&entry);
                        progress.read(&entry, self.own_lane || ours);
                    }
                }
                Err(error) => {
                    let pause = self.tail.failed(&error);
                    // The first failure may be a connection that was lost, and the next read has a new one.
                    self.listening.set(self.tail.failures() < 2);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Completes whoever waits for what is in an entry; true if all of it was for callers of this process.
    fn complete(&mut self, entry: &Entry) -> bool {
        let (mut ours, mut unreadable) = (true, None);
        for reply in Reply::decode_all(&entry.fields) {
            match reply {
                Ok(reply) => ours &= self.complete_one(reply, entry.id) != Completion::Unknown,
                Err(error) => {
                    self.metrics.undecodable.increment(1);
                    unreadable = Some(error);
                }
            }
        }
        if let Some(error) = &unreadable {
            tracing::warn!(entry = %entry.id, %error, "what stands on the reply stream is no reply; ignored");
        }
        ours && unreadable.is_none()
    }

    fn complete_one(&mut self, reply: Reply, entry: EntryId) -> Completion {
        let (id, worked) = (reply.id, !reply.work.is_zero());
        let completion = self.pending.complete(id, Ok(Received { reply, stored_ms: entry.ms }));
        // Work that was done is capacity, whether or not its caller was still there.
        if worked && completion != Completion::Unknown {
            self.admission.estimate.answered();
        }
        match completion {
            Completion::Delivered => self.strangers.known(),
            Completion::Unknown if !self.own_lane => self.metrics.foreign.increment(1),
            Completion::Unknown => {
                self.metrics.late.increment(1);
                if self.strangers.unknown(Instant::now()) {
                    tracing::warn!(
                        "many replies arrive on this lane that nobody here asked for: does another gateway run with the same INGRESS_REPLICA? Give each its own"
                    );
                }
            }
            Completion::Late => {
                self.strangers.known();
                self.metrics.late.increment(1);
            }
        }
        completion
    }
}
