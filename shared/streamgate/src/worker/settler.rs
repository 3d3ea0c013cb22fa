//! Where every delivery ends: reply first, acknowledge after.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::metrics::ResponderMetrics;
use super::outcome::{Outgoing, Settlement};
use super::reply_batch::{
    MOST_REPLIES, as_one_entry, as_one_pipeline, bring_lanes_together, replies_in, store,
};
use crate::clock::Clock;
use crate::connection::{Commands, Error, ErrorKind, ExclusiveConnection, RetryLog, checked};
use crate::envelope::CorrelationId;
use crate::stream::{ConsumerGroup, Disposition, EntryId, Leases};

/// The writer of one worker: it puts finished replies into one pipeline and acknowledges the
/// confirmed ones at the head of the next, or at once when none waits.
///
/// XACK names only entries whose reply or dead letter Redis has confirmed, or that nobody waits
/// for. In one pipeline with its reply it would pass even if the reply were refused (OOM).
pub(super) struct Settler {
    group: ConsumerGroup,
    metrics: ResponderMetrics,
    leases: Leases,
    lane_ttl: Duration,
    connection: ExclusiveConnection,
    pipeline: Commands,
    /// Lanes that were given a time to live lately, if they had none.
    cared_for: HashMap<Arc<str>, Instant>,
    queue: mpsc::UnboundedReceiver<Settlement>,
    /// Each has a reply.
    storing: Vec<Settlement>,
    /// How many of the first of them were packed as one entry, entry by entry.
    together: Vec<usize>,
    confirmed: Vec<Settlement>,
    burying: Vec<Settlement>,
    handing_back: Vec<Settlement>,
    outage: RetryLog,
    burial: RetryLog,
}

/// A lane that is written to is looked after so often: it may have been removed and made anew meanwhile.
const LANE_CARE: Duration = Duration::from_secs(1);

impl Settler {
    pub(super) fn new(
        group: ConsumerGroup,
        metrics: ResponderMetrics,
        leases: Leases,
        lane_ttl: Duration,
        queue: mpsc::UnboundedReceiver<Settlement>,
    ) -> Self {
        Self {
            connection: ExclusiveConnection::new(group.redis().clone()),
            pipeline: Commands::default(),
            cared_for: HashMap::new(),
            group,
            metrics,
            leases,
            lane_ttl,
            queue,
            storing: Vec::new(),
            together: Vec::new(),
            confirmed: Vec::new(),
            burying: Vec::new(),
            handing_back: Vec::new(),
            outage: RetryLog::new("settle"),
            burial: RetryLog::new("dead letters"),
        }
    }

    /// Settles until the queue is closed and everything in it is settled.
    pub(super) async fn run(mut self) {
        let mut incoming = Vec::new();
        self.connection.prepare().await;
        loop {
            if self.is_idle() && self.queue.recv_many(&mut incoming, *MOST_REPLIES.start()).await == 0 {
                return;
            }
            let most = self.leases.len().clamp(*MOST_REPLIES.start(), *MOST_REPLIES.end());
            while incoming.len() < most
                && let Ok(settlement) = self.queue.try_recv()
            {
                incoming.push(settlement);
            }
            for settlement in incoming.drain(..) {
                self.sort(settlement);
            }
            match self.step().await {
                Ok(()) => self.outage.healed(),
                Err(error) => tokio::time::sleep(self.outage.failed(&error)).await,
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.storing.is_empty()
            && self.confirmed.is_empty()
            && self.burying.is_empty()
            && self.handing_back.is_empty()
    }

    /// Reply first; then what the disposition says.
    fn sort(&mut self, settlement: Settlement) {
        let next = match (&settlement.reply, &settlement.disposition) {
            (Some(_), _) => &mut self.storing,
            (None, Disposition::Acknowledge) => &mut self.confirmed,
            (None, Disposition::DeadLetter(_)) => &mut self.burying,
            (None, Disposition::HandBack) => &mut self.handing_back,
        };
        next.push(settlement);
    }

    async fn step(&mut self) -> Result<(), Error> {
        self.drop_lost().await?;
        self.write().await?;
        self.bury().await?;
        self.hand_back().await
    }

    /// After a pause that was too long Redis decides what is still ours; the rest is another
    /// worker's to settle.
    async fn drop_lost(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let doubtful = |s: &Settlement| !s.delivery.lease.is_current(now);
        if self.storing.iter().chain(&self.confirmed).any(doubtful) {
            self.leases.renew().await?;
            for list in [&mut self.storing, &mut self.confirmed] {
                list.retain(|settlement| !settlement.delivery.lease.is_lost());
            }
        }
        Ok(())
    }

    /// One pipeline: acknowledge what is confirmed, store what is finished, and once a second give every
    /// lane that has none a time to live.
    async fn write(&mut self) -> Result<(), Error> {
        if self.confirmed.is_empty() && self.storing.is_empty() {
            return Ok(());
        }
        if !self.confirmed.is_empty() {
            self.pipeline.command(|args| {
                args.arg(b"XACK").arg(self.group.stream().as_bytes()).arg(self.group.name().as_bytes());
                for settlement in &self.confirmed {
                    settlement.delivery.entry.id.encode(|id| {
                        args.arg(id);
                    });
                }
            });
        }
        let batch = self.pack_replies();
        let now = Instant::now();
        self.cared_for.retain(|_, since| now.duration_since(*since) < LANE_CARE);
        for Outgoing { lane, .. } in replies_in(&self.storing[..batch]) {
            if !self.cared_for.contains_key(lane) {
                self.pipeline.add(redis::cmd("EXPIRE").arg(&**lane).arg(self.lane_ttl.as_secs()).arg("NX"));
                self.cared_for.insert(Arc::clone(lane), now);
            }
        }
        let answers = self.connection.pipeline(&self.pipeline).await;
        self.pipeline.clear();
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().map(checked),
            Err(error) => {
                self.cared_for.clear();
                self.drop_expired();
                return Err(error);
            }
        };
        let acknowledged = if self.confirmed.is_empty() { None } else { answers.next() };
        let stored = self.sort_stored(answers);
        if stored.trouble.is_some() {
            // EXPIRE does nothing for a lane that is not there yet.
            self.cared_for.clear();
        }
        let refused = match acknowledged {
            Some(Err(error)) if error.kind() != ErrorKind::NoGroup => Some(error),
            Some(Err(_)) => {
                // Nothing is pending in a group that is gone.
                self.confirmed.clear();
                self.confirmed.extend(stored.confirmed);
                return self.group.heal().await;
            }
            Some(Ok(_)) | None => {
                let finished =
                    self.confirmed.drain(..).map(|settlement| settlement.delivery.entry.fields.size());
                self.group.finished(finished.sum());
                None
            }
        };
        self.confirmed.extend(stored.confirmed);
        refused.or(stored.trouble).map_or(Ok(()), Err)
    }

    /// Packs what is to be stored, as much as fits, the replies to one lane together; answers how many.
    fn pack_replies(&mut self) -> usize {
        let most = as_one_pipeline(replies_in(&self.storing));
        bring_lanes_together(&mut self.storing[..most], Settlement::lane);
        self.together.clear();
        let mut rest = &self.storing[..most];
        while !rest.is_empty() {
            let (entry, later) = rest.split_at(as_one_entry(replies_in(rest)).max(1));
            store(replies_in(entry), &mut self.pipeline);
            self.together.push(entry.len());
            rest = later;
        }
        most
    }

    /// Moves each reply that was stored on to its next station; a refused one stays, or makes its
    /// entry a dead letter if trying again cannot help.
    fn sort_stored(&mut self, answers: impl Iterator<Item = Result<Value, Error>>) -> Stored {
        let mut result = Stored { confirmed: Vec::new(), trouble: None };
        let metrics = self.metrics.clone();
        let mut refused = Vec::new();
        let batch: usize = self.together.iter().sum();
        let mut settlements = self.storing.drain(..batch);
        for (count, answer) in self.together.drain(..).zip(answers) {
            let settlements = settlements.by_ref().take(count);
            let refusal = match answer {
                Ok(_) => {
                    metrics.replies.increment(count as u64);
                    None
                }
                Err(error) if error.is_transient() => {
                    metrics.reply_retries.increment(count as u64);
                    result.trouble = Some(error);
                    refused.extend(settlements);
                    continue;
                }
                Err(error) => Some(error),
            };
            for mut settlement in settlements {
                settlement.reply = None;
                if let Some(error) = &refusal
                    && settlement.disposition == Disposition::Acknowledge
                {
                    settlement.disposition = Disposition::DeadLetter(format!("reply refused: {error}"));
                }
                match settlement.disposition {
                    Disposition::Acknowledge => result.confirmed.push(settlement),
                    Disposition::DeadLetter(_) => self.burying.push(settlement),
                    Disposition::HandBack => self.handing_back.push(settlement),
                }
            }
        }
        drop(settlements);
        self.storing.splice(..0, refused);
        if result.trouble.is_some() {
            self.drop_expired();
        }
        result
    }

    /// A reply that could not be stored in time has nobody to reach any more.
    fn drop_expired(&mut self) {
        let clock = Arc::clone(self.group.redis().clock());
        for settlement in std::mem::take(&mut self.storing) {
            let passed =
                settlement.reply.as_ref().is_none_or(|r| r.deadline.has_passed(&*clock as &dyn Clock));
            if passed {
                self.metrics.expired.increment(1);
                self.sort(Settlement { reply: None, ..settlement });
            } else {
                self.storing.push(settlement);
            }
        }
    }

    async fn bury(&mut self) -> Result<(), Error> {
        while let Some(settlement) = self.burying.last() {
            let Disposition::DeadLetter(reason) = &settlement.disposition else {
                self.burying.pop();
                continue;
            };
            let (id, attempt) = (settlement.delivery.entry.id, settlement.delivery.attempt);
            match self.group.bury(&settlement.delivery.entry, attempt, reason).await {
                Ok(Some(dead_letter)) => {
                    self.burial.healed();
                    self.group.metrics().dead_letters.increment(1);
                    let request =
                        settlement.delivery.entry.fields.get("id").and_then(CorrelationId::from_bytes);
                    let request = request.map(tracing::field::display);
                    tracing::warn!(id = request, entry = %id, %dead_letter, attempt, %reason, "entry moved to the dead letters");
                }
                Ok(None) => tracing::info!(entry = %id, "entry is another consumer's now; left to it"),
                Err(error) if error.kind() == ErrorKind::NoGroup => self.group.heal().await?,
                Err(error) if error.is_transient() => return Err(error),
                // Waiting for it here would hold up everybody else's replies.
                // The entry stays pending and is tried again after its lease.
                Err(error) => {
                    self.group.metrics().dead_letters_refused.increment(1);
                    self.burial.failed(&error);
                }
            }
            self.burying.pop();
        }
        Ok(())
    }

    async fn hand_back(&mut self) -> Result<(), Error> {
        if !self.handing_back.is_empty() {
            let ids: Vec<EntryId> = self.handing_back.iter().map(|s| s.delivery.entry.id).collect();
            self.group.hand_back(&ids).await?;
            self.handing_back.clear();
        }
        Ok(())
    }
}

struct Stored {
    confirmed: Vec<Settlement>,
    trouble: Option<Error>,
}
