//! Reads the reply lane and gives each reply to the caller that waits for it.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

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
    /// True if only this process reads the lane. Then a reply without a caller is late, not foreign.
    pub(super) own_lane: bool,
    /// Tells the upkeep how far the lane has been read.
    pub(super) finished: watch::Sender<Finished>,
    pub(super) listening: Latch,
    pub(super) conflict: LaneConflict,
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
                        self.conflict.read_again();
                    }
                    for entry in entries {
                        let ours = self.complete(&entry);
                        progress.read(&entry, self.own_lane || ours);
                    }
                }
                Err(error) => {
                    let pause = self.tail.failed(&error);
                    // After one failure the lane may still be readable: the next read uses a new connection.
                    self.listening.set(self.tail.failures() < 2);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    /// Completes the callers of all replies in an entry; true if all replies were for callers of this process.
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
            tracing::warn!(entry = %entry.id, %error, "an entry of the reply stream is no valid reply; ignored");
        }
        ours && unreadable.is_none()
    }

    fn complete_one(&mut self, reply: Reply, entry: EntryId) -> Completion {
        let (id, worked) = (reply.id, !reply.work.is_zero());
        let received = Ok(Received { reply, stored_ms: entry.ms });
        let (completion, line) = self.pending.complete_in_line(id, received);
        // Finished work shows capacity even if its caller has gone.
        if worked && let Some(line) = line {
            line.estimate.answered();
        }
        match completion {
            Completion::Delivered => self.conflict.known(),
            Completion::Unknown if !self.own_lane => self.metrics.foreign.increment(1),
            Completion::Unknown => {
                self.metrics.late.increment(1);
                if self.conflict.unknown(Instant::now()) {
                    tracing::warn!(
                        "many replies on this lane have no request here: another gateway seems to run with the same INGRESS_REPLICA; give each gateway its own"
                    );
                }
            }
            Completion::Late => {
                self.conflict.known();
                self.metrics.late.increment(1);
            }
        }
        completion
    }
}
