//! Settles every delivery: first it stores the reply, then it acknowledges the entry.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use redis::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::due::DueTime;
use super::execution::Settlement;
use super::job::Outgoing;
use super::metrics::ReplyMetrics;
use super::reply_batch::{MOST_REPLIES, as_one_entry, as_one_pipeline, group_by_lane, replies_in, store};
use crate::clock::Clock;
use crate::connection::{Commands, Error, ErrorKind, ExclusiveConnection, RetryLog, checked};
use crate::stream::{ConsumerGroup, Disposition, EntryId, Leases};

/// The writer of one worker. It sends finished replies in one pipeline. The next pipeline starts with the XACK of
/// those that Redis has confirmed; if no reply waits, the XACK is sent alone.
///
/// XACK names only entries whose reply Redis has confirmed, and entries that need no reply. If a reply and its XACK
/// were in one pipeline, Redis could refuse the reply (OOM) and still execute the XACK.
pub(super) struct Settler<R> {
    group: ConsumerGroup,
    metrics: ReplyMetrics,
    leases: Leases,
    lane_ttl: Duration,
    connection: ExclusiveConnection,
    pipeline: Commands,
    /// Lanes that this settler has lately given a time to live, if they had none.
    expire_sent: HashMap<Arc<str>, Instant>,
    queue: mpsc::UnboundedReceiver<Settlement<R>>,
    /// Settlements with a reply to store.
    storing: Vec<Settlement<R>>,
    /// For each entry of the current pipeline, how many of the first settlements in `storing` it packs.
    replies_per_entry: Vec<usize>,
    confirmed: Vec<Settlement<R>>,
    dead: Vec<Settlement<R>>,
    /// Entries without a lease: each may be claimed again at the moment in which it is given back.
    handing_back: Vec<EntryId>,
    retrying: Vec<Settlement<R>>,
    /// Tells the read loop when the next delayed entry is due.
    due: DueTime,
    outage: RetryLog,
    dead_letter_outage: RetryLog,
}

/// How often EXPIRE is sent again for a lane: the lane may have been deleted and created again without a time to live.
const EXPIRE_PERIOD: Duration = Duration::from_secs(1);

impl<R: Outgoing> Settler<R> {
    pub(super) fn new(
        group: ConsumerGroup,
        metrics: ReplyMetrics,
        leases: Leases,
        lane_ttl: Duration,
        queue: mpsc::UnboundedReceiver<Settlement<R>>,
        due: DueTime,
    ) -> Self {
        Self {
            connection: ExclusiveConnection::new(group.redis().clone()),
            pipeline: Commands::default(),
            expire_sent: HashMap::new(),
            group,
            metrics,
            leases,
            lane_ttl,
            queue,
            storing: Vec::new(),
            replies_per_entry: Vec::new(),
            confirmed: Vec::new(),
            dead: Vec::new(),
            handing_back: Vec::new(),
            retrying: Vec::new(),
            due,
            outage: RetryLog::new("settler"),
            dead_letter_outage: RetryLog::new("dead letters"),
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
                self.route(settlement);
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
            && self.dead.is_empty()
            && self.handing_back.is_empty()
            && self.retrying.is_empty()
    }

    /// Stores the reply first; then follows the disposition.
    fn route(&mut self, settlement: Settlement<R>) {
        let next = match (&settlement.reply, &settlement.disposition) {
            (Some(_), _) => &mut self.storing,
            (None, Disposition::Acknowledge) => &mut self.confirmed,
            (None, Disposition::DeadLetter(_)) => &mut self.dead,
            (None, Disposition::HandBack) => {
                self.handing_back.push(settlement.delivery.entry.id);
                return;
            }
            (None, Disposition::RetryAfter(_)) => &mut self.retrying,
        };
        next.push(settlement);
    }

    async fn step(&mut self) -> Result<(), Error> {
        self.drop_lost().await?;
        self.write().await?;
        self.move_to_dead_letters().await?;
        self.retry_later().await?;
        self.hand_back().await
    }

    /// After a pause longer than a lease, another worker may have claimed entries. Redis is asked which ones; those
    /// are dropped here, and the other worker settles them.
    async fn drop_lost(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let may_be_lost = |s: &Settlement<R>| !s.delivery.lease.is_current(now);
        if self.storing.iter().chain(&self.confirmed).any(may_be_lost) {
            self.leases.renew().await?;
            for list in [&mut self.storing, &mut self.confirmed] {
                list.retain(|settlement| !settlement.delivery.lease.is_lost());
            }
        }
        Ok(())
    }

    /// Sends one pipeline: XACK of the confirmed entries, then XADD of the finished replies. Once a second it adds an
    /// EXPIRE for each lane, which gives the lane a time to live if it has none.
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
        self.expire_sent.retain(|_, since| now.duration_since(*since) < EXPIRE_PERIOD);
        for lane in replies_in(&self.storing[..batch]).map(Outgoing::lane) {
            if !self.expire_sent.contains_key(lane) {
                self.pipeline.add(redis::cmd("EXPIRE").arg(&**lane).arg(self.lane_ttl.as_secs()).arg("NX"));
                self.expire_sent.insert(Arc::clone(lane), now);
            }
        }
        let answers = self.connection.pipeline(&self.pipeline).await;
        self.pipeline.clear();
        let mut answers = match answers {
            Ok(answers) => answers.into_iter().map(checked),
            Err(error) => {
                self.expire_sent.clear();
                self.drop_expired();
                return Err(error);
            }
        };
        let acknowledged = if self.confirmed.is_empty() { None } else { answers.next() };
        let stored = self.route_stored(answers);
        if stored.error.is_some() {
            // If the refused reply was to create its lane, the EXPIRE has had no effect.
            self.expire_sent.clear();
        }
        let xack_error = match acknowledged {
            Some(Err(error)) if error.kind() != ErrorKind::NoGroup => Some(error),
            Some(Err(_)) => {
                // The group is gone, so none of its entries are pending.
                self.confirmed.clear();
                self.confirmed.extend(stored.confirmed);
                return self.group.heal().await;
            }
            Some(Ok(_)) | None => {
                let finished =
                    self.confirmed.drain(..).map(|settlement| settlement.delivery.entry.fields.size());
                self.group.count_finished(finished.sum());
                None
            }
        };
        self.confirmed.extend(stored.confirmed);
        xack_error.or(stored.error).map_or(Ok(()), Err)
    }

    /// Packs as many replies as fit into the pipeline, grouped by lane; returns how many.
    fn pack_replies(&mut self) -> usize {
        let most = as_one_pipeline(replies_in(&self.storing));
        group_by_lane(&mut self.storing[..most], Settlement::lane);
        self.replies_per_entry.clear();
        let mut rest = &self.storing[..most];
        while !rest.is_empty() {
            let (entry, later) = rest.split_at(as_one_entry(replies_in(rest)).max(1));
            store(replies_in(entry), &mut self.pipeline);
            self.replies_per_entry.push(entry.len());
            rest = later;
        }
        most
    }

    /// If a reply was stored, its settlement goes on as its disposition says. If Redis refused the reply for now, the
    /// settlement stays in `storing`. If Redis will never take the reply, the entry becomes a dead letter.
    fn route_stored(&mut self, answers: impl Iterator<Item = Result<Value, Error>>) -> Stored<R> {
        let mut result = Stored { confirmed: Vec::new(), error: None };
        let metrics = self.metrics.clone();
        let mut refused = Vec::new();
        let batch: usize = self.replies_per_entry.iter().sum();
        let mut settlements = self.storing.drain(..batch);
        for (count, answer) in self.replies_per_entry.drain(..).zip(answers) {
            let settlements = settlements.by_ref().take(count);
            let refusal = match answer {
                Ok(_) => {
                    metrics.replies.increment(count as u64);
                    None
                }
                Err(error) if error.is_transient() => {
                    metrics.reply_retries.increment(count as u64);
                    result.error = Some(error);
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
                    Disposition::DeadLetter(_) => self.dead.push(settlement),
                    Disposition::HandBack => self.handing_back.push(settlement.delivery.entry.id),
                    Disposition::RetryAfter(_) => self.retrying.push(settlement),
                }
            }
        }
        drop(settlements);
        self.storing.splice(..0, refused);
        if result.error.is_some() {
            self.drop_expired();
        }
        result
    }

    /// Drops replies whose deadline has passed: their callers no longer wait.
    fn drop_expired(&mut self) {
        let clock = Arc::clone(self.group.redis().clock());
        for mut settlement in std::mem::take(&mut self.storing) {
            let passed =
                settlement.reply.as_ref().is_none_or(|reply| reply.has_expired(&*clock as &dyn Clock));
            if passed {
                self.metrics.expired.increment(1);
                settlement.reply = None;
                self.route(settlement);
            } else {
                self.storing.push(settlement);
            }
        }
    }

    async fn move_to_dead_letters(&mut self) -> Result<(), Error> {
        while let Some(settlement) = self.dead.last() {
            let Disposition::DeadLetter(reason) = &settlement.disposition else {
                self.dead.pop();
                continue;
            };
            let (id, attempt) = (settlement.delivery.entry.id, settlement.delivery.attempt);
            match self.group.move_to_dead_letters(&settlement.delivery.entry, attempt, reason).await {
                Ok(Some(dead_letter)) => {
                    self.dead_letter_outage.healed();
                    self.group.metrics().dead_letters.increment(1);
                    // The id of a request. Other entries may have any text in this field, or none.
                    let request = settlement.delivery.entry.fields.get("id");
                    let request = request.and_then(|id| uuid::Uuid::try_parse_ascii(id).ok());
                    let request = request.map(tracing::field::display);
                    tracing::warn!(id = request, entry = %id, %dead_letter, attempt, %reason, "entry moved to the dead letters");
                }
                Ok(None) => {
                    tracing::info!(entry = %id, "another consumer has claimed the entry and settles it")
                }
                Err(error) if error.kind() == ErrorKind::NoGroup => self.group.heal().await?,
                Err(error) if error.is_transient() => return Err(error),
                // Retries here would delay the replies of other requests.
                // The entry stays pending and is claimed again after its lease.
                Err(error) => {
                    self.group.metrics().dead_letters_refused.increment(1);
                    self.dead_letter_outage.failed(&error);
                }
            }
            self.dead.pop();
        }
        Ok(())
    }

    async fn retry_later(&mut self) -> Result<(), Error> {
        while !self.retrying.is_empty() {
            let batch = &self.retrying[..self.retrying.len().min(MOST_DELAYED)];
            let delays = batch.iter().map(|s| match s.disposition {
                Disposition::RetryAfter(delay) => (s.delivery.entry.id, delay),
                _ => (s.delivery.entry.id, Duration::ZERO),
            });
            let delays: Vec<(EntryId, Duration)> = delays.collect();
            match self.group.retry_later(&delays).await {
                Err(error) if error.kind() == ErrorKind::NoGroup => self.group.heal().await?,
                result => drop(result?),
            }
            if let Some(soonest) = delays.iter().map(|(_, delay)| *delay).min() {
                self.due.is_in(soonest).await;
            }
            self.retrying.drain(..delays.len());
        }
        Ok(())
    }

    async fn hand_back(&mut self) -> Result<(), Error> {
        // After a failed try, the entry may have been claimed again.
        self.handing_back.retain(|id| !self.leases.holds(*id));
        if !self.handing_back.is_empty() {
            self.group.hand_back(&self.handing_back).await?;
            self.handing_back.clear();
        }
        Ok(())
    }
}

/// The most entries that one script delays: it blocks the server for a fraction of a millisecond only.
const MOST_DELAYED: usize = 100;

/// What became of the replies in one pipeline.
struct Stored<R> {
    confirmed: Vec<Settlement<R>>,
    /// Why Redis refused some of them for now.
    error: Option<Error>,
}
