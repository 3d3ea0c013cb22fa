use std::time::Duration;

use redis::Pipeline;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::message::{Receipt, SettleError};
use crate::connection::{Error, ErrorKind, RetryLog, checked};
use crate::stream::{ConsumerGroup, EntryId, Leases};

/// What is to be done with a delivery.
pub(super) enum Decision {
    Acknowledge,
    RetryAfter(Duration),
    DeadLetter(String),
    HandBack,
}

/// Takes decisions to the settler.
pub(super) type SettlerQueue = mpsc::UnboundedSender<ToSettler>;

pub(super) enum ToSettler {
    Settle(Settlement),
    /// Is told when everything queued before it is settled.
    Flush(oneshot::Sender<()>),
}

/// The decision on one delivery.
pub(super) struct Settlement {
    pub(super) receipt: Receipt,
    pub(super) decision: Decision,
    /// Whom to tell the result.
    pub(super) done: Option<oneshot::Sender<Result<(), SettleError>>>,
}

impl Settlement {
    fn id(&self) -> EntryId {
        self.receipt.leased().entry.id
    }

    fn end(self, result: Result<(), SettleError>) {
        match self.done {
            // The caller may have stopped waiting.
            Some(done) => drop(done.send(result)),
            None => {
                if let Err(error) = result {
                    tracing::warn!(%error, "a delivery was not settled");
                }
            }
        }
    }
}

/// Settles the deliveries of one reader. Decisions that wait at the same time share commands.
///
/// During an outage it tries again until the outage ends, or until `abandon` is cancelled.
pub(super) struct Settler {
    pub(super) group: ConsumerGroup,
    pub(super) leases: Leases,
    pub(super) queue: mpsc::UnboundedReceiver<ToSettler>,
    pub(super) abandon: CancellationToken,
    pub(super) outage: RetryLog,
}

/// The most settlements taken at once.
const MOST_AT_ONCE: usize = 4_096;

/// The most ids in one command, so that Redis serves others in between.
const MOST_IDS: usize = 512;

impl Settler {
    /// Settles until the reader and all its messages are gone.
    pub(super) async fn run(mut self) {
        let mut incoming = Vec::new();
        while self.queue.recv_many(&mut incoming, MOST_AT_ONCE).await > 0 {
            let [mut acknowledged, mut delayed, mut handed_back, mut dead] = [const { Vec::new() }; 4];
            let mut flushed = Vec::new();
            for item in incoming.drain(..) {
                let settlement = match item {
                    ToSettler::Settle(settlement) => settlement,
                    ToSettler::Flush(done) => {
                        flushed.push(done);
                        continue;
                    }
                };
                match &settlement.decision {
                    Decision::Acknowledge => acknowledged.push(settlement),
                    Decision::RetryAfter(_) => delayed.push(settlement),
                    Decision::HandBack => handed_back.push(settlement),
                    Decision::DeadLetter(_) => dead.push(settlement),
                }
            }
            for settlements in [acknowledged, delayed, handed_back, dead] {
                self.settle(settlements).await;
            }
            // The reader may have stopped waiting.
            for done in flushed {
                let _ = done.send(());
            }
        }
    }

    /// Settles deliveries with the same kind of decision.
    async fn settle(&mut self, mut settlements: Vec<Settlement>) {
        while !settlements.is_empty() {
            let result = self.try_to_settle(&mut settlements).await;
            match result {
                Ok(()) => self.outage.healed(),
                Err(error) if error.kind() == ErrorKind::NoGroup && self.group.heal().await.is_ok() => {}
                Err(error) if error.is_transient() => {
                    let pause = self.outage.failed(&error);
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = self.abandon.cancelled() => {
                            let closed = |settlement: Settlement| {
                                let id = settlement.id();
                                settlement.end(Err(SettleError::Closed { id }));
                            };
                            settlements.drain(..).for_each(closed);
                        }
                    }
                }
                Err(error) => {
                    for settlement in settlements.drain(..) {
                        let id = settlement.id();
                        settlement.end(Err(SettleError::Redis { id, source: error.clone() }));
                    }
                }
            }
        }
    }

    /// Takes out the settlements that it has ended.
    async fn try_to_settle(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        self.drop_lost(settlements).await?;
        match settlements.first().map(|settlement| &settlement.decision) {
            Some(Decision::Acknowledge) => self.acknowledge(settlements).await,
            Some(Decision::RetryAfter(_)) => self.delay(settlements).await,
            Some(Decision::HandBack) => self.hand_back(settlements).await,
            Some(Decision::DeadLetter(_)) => self.move_to_dead_letters(settlements).await,
            None => Ok(()),
        }
    }

    /// After a pause longer than a lease, another consumer may have claimed entries. Redis is asked which entries still
    /// belong to this consumer.
    async fn drop_lost(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        let is_current = |s: &Settlement| s.receipt.leased().lease.is_current(Instant::now());
        if !settlements.iter().all(is_current) {
            self.leases.renew().await?;
            settlements.extract_if(.., |settlement| !is_current(settlement)).for_each(lost);
        }
        Ok(())
    }

    async fn acknowledge(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        let mut pipeline = Pipeline::new();
        for chunk in settlements.chunks(MOST_IDS) {
            let mut xack = redis::cmd("XACK");
            xack.arg(self.group.stream()).arg(self.group.name());
            for settlement in chunk {
                settlement.id().encode(|id| {
                    xack.arg(id);
                });
            }
            pipeline.add_command(xack);
        }
        let answers = self.group.redis().pipeline(&pipeline).await?;
        answers.into_iter().try_for_each(|answer| checked(answer).map(drop))?;
        let sizes = settlements.iter().map(|settlement| settlement.receipt.leased().entry.fields.size());
        self.group.count_finished(sizes.sum());
        settlements.drain(..).for_each(|settlement| settlement.end(Ok(())));
        Ok(())
    }

    async fn delay(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        let chunk = settlements.len().min(MOST_IDS);
        let delays = settlements[..chunk].iter().map(|settlement| match settlement.decision {
            Decision::RetryAfter(delay) => (settlement.id(), delay),
            _ => (settlement.id(), Duration::ZERO),
        });
        let delays: Vec<_> = delays.collect();
        let delayed = self.group.retry_later(&delays).await?;
        for (settlement, delayed) in settlements.drain(..chunk).zip(delayed) {
            match delayed {
                true => settlement.end(Ok(())),
                false => lost(settlement),
            }
        }
        Ok(())
    }

    async fn hand_back(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        let chunk = settlements.len().min(MOST_IDS);
        let ids: Vec<EntryId> = settlements[..chunk].iter().map(Settlement::id).collect();
        self.group.hand_back(&ids).await?;
        settlements.drain(..chunk).for_each(|settlement| settlement.end(Ok(())));
        Ok(())
    }

    async fn move_to_dead_letters(&self, settlements: &mut Vec<Settlement>) -> Result<(), Error> {
        while let Some(settlement) = settlements.last() {
            let leased = settlement.receipt.leased();
            let Decision::DeadLetter(reason) = &settlement.decision else { return Ok(()) };
            let moved = self.group.move_to_dead_letters(&leased.entry, leased.attempt, reason).await;
            match &moved {
                Ok(Some(dead_letter)) => {
                    self.group.metrics().dead_letters.increment(1);
                    tracing::warn!(
                        stream = self.group.stream(),
                        group = self.group.name(),
                        entry = %leased.entry.id,
                        %dead_letter,
                        attempt = leased.attempt,
                        %reason,
                        "entry moved to the dead letters"
                    );
                }
                Err(error) if !error.is_transient() => self.group.metrics().dead_letters_refused.increment(1),
                _ => {}
            }
            let moved = moved?;
            match (settlements.pop(), moved) {
                (Some(settlement), Some(_)) => settlement.end(Ok(())),
                (Some(settlement), None) => lost(settlement),
                (None, _) => {}
            }
        }
        Ok(())
    }
}

fn lost(settlement: Settlement) {
    let id = settlement.id();
    settlement.end(Err(SettleError::Lost { id }));
}
