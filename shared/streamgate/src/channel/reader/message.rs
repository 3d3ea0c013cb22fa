use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::oneshot;

use super::settler::{Decision, Settlement, SettlerQueue, ToSettler};
use crate::connection::Error;
use crate::fields::Fields;
use crate::stream::{EntryId, LeasedEntry};

/// A value that a [`Reader`](super::Reader) gave out, to be settled: acknowledged, tried again later, or moved to the
/// dead letters.
///
/// While the message is held, its lease is renewed and no other consumer gets the entry. If it is dropped, the entry is
/// delivered again, to any consumer of the group, after its lease has ended.
pub struct Message<T> {
    /// The id of the entry.
    pub id: EntryId,
    /// The value.
    pub value: T,
    /// Which delivery of the entry this is, counted from 1.
    pub attempt: u32,
    receipt: Receipt,
}

impl<T> Message<T> {
    pub(super) fn new(value: T, receipt: Receipt) -> Self {
        let leased = receipt.leased();
        Self { id: leased.entry.id, value, attempt: leased.attempt, receipt }
    }

    /// Marks the work as done: the group does not get the entry again. Returns once Redis has confirmed it.
    /// Acknowledgements that wait at the same time share one command. During an outage this waits until Redis is back.
    ///
    /// # Errors
    /// [`SettleError`]; the entry may be delivered again.
    pub async fn acknowledge(self) -> Result<(), SettleError> {
        self.settle(Decision::Acknowledge).await
    }

    /// Delivers the entry again after `delay`, to this group only. Until then it is not pending, and nobody can claim
    /// it. It may come up to half a second late. A delay of more than a day
    /// ([`LONGEST_DELAY`](crate::stream::LONGEST_DELAY)) counts as a day.
    ///
    /// # Errors
    /// [`SettleError`]; the entry may be delivered again earlier.
    pub async fn retry_after(self, delay: Duration) -> Result<(), SettleError> {
        self.settle(Decision::RetryAfter(delay)).await
    }

    /// Moves the entry to the dead letters with this reason, and acknowledges it.
    ///
    /// # Errors
    /// [`SettleError`]; the entry may be delivered again.
    pub async fn dead_letter(self, reason: impl Into<String>) -> Result<(), SettleError> {
        self.settle(Decision::DeadLetter(reason.into())).await
    }

    /// Gives the entry back: any consumer of the group may claim it at once, and this delivery is not counted.
    ///
    /// # Errors
    /// [`SettleError`]; the entry is then delivered again after its lease.
    pub async fn hand_back(self) -> Result<(), SettleError> {
        self.settle(Decision::HandBack).await
    }

    /// All fields of the entry: `content_type` and `body`, and those that its writer added.
    pub fn fields(&self) -> &Fields {
        &self.receipt.leased().entry.fields
    }

    /// True once it is known that the lease was lost: another consumer has the entry, so the work should stop. That
    /// happens if this process, or its connection, paused for longer than a lease.
    pub fn is_lost(&self) -> bool {
        self.receipt.leased().lease.is_lost()
    }

    /// Completes when the lease is lost.
    pub async fn lost(&self) {
        self.receipt.leased().lease.lost().await;
    }

    async fn settle(self, decision: Decision) -> Result<(), SettleError> {
        let Self { id, receipt, .. } = self;
        receipt.settle(decision).await.unwrap_or(Err(SettleError::Closed { id }))
    }

    /// Queues the acknowledgement; the receiver gets the result.
    pub(super) fn queue_acknowledgement(self) -> oneshot::Receiver<Result<(), SettleError>> {
        self.receipt.settle(Decision::Acknowledge)
    }
}

impl<T: fmt::Debug> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (id, attempt) = (format_args!("{}", self.id), self.attempt);
        f.debug_struct("Message")
            .field("id", &id)
            .field("value", &self.value)
            .field("attempt", &attempt)
            .finish()
    }
}

/// The right to settle one delivery, once. The lease ends when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Receipt(Arc<Unsettled>);

struct Unsettled {
    leased: LeasedEntry,
    settled: AtomicBool,
    settlements: SettlerQueue,
}

impl Receipt {
    pub(super) fn new(leased: LeasedEntry, settlements: SettlerQueue) -> Self {
        Self(Arc::new(Unsettled { leased, settled: AtomicBool::new(false), settlements }))
    }

    pub(super) fn leased(&self) -> &LeasedEntry {
        &self.0.leased
    }

    /// Queues the settlement; the receiver gets the result. If the delivery was settled before, the result is that
    /// nothing is to be done.
    fn settle(self, decision: Decision) -> oneshot::Receiver<Result<(), SettleError>> {
        let (done, result) = oneshot::channel();
        match self.0.settled.swap(true, Ordering::AcqRel) {
            true => drop(done.send(Ok(()))),
            false => self.queue(decision, Some(done)),
        }
        result
    }

    /// Queues the settlement, whose result nobody waits for.
    pub(super) fn settle_aside(self, decision: Decision) {
        if !self.0.settled.swap(true, Ordering::AcqRel) {
            self.queue(decision, None);
        }
    }

    fn queue(self, decision: Decision, done: Option<oneshot::Sender<Result<(), SettleError>>>) {
        let settlements = self.0.settlements.clone();
        // If the settler has ended, `done` is dropped with the settlement, and its receiver learns of it.
        let _ = settlements.send(ToSettler::Settle(Settlement { receipt: self, decision, done }));
    }
}

/// Why a message was not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// The lease had ended, and the entry no longer belongs to this consumer.
    #[error(
        "entry {id} no longer belongs to this consumer: its lease ended, and another consumer has it or has settled it; undo the work, or make it safe to repeat"
    )]
    Lost {
        /// The entry.
        id: EntryId,
    },
    /// The reader was closed, and Redis did not confirm the settlement in time.
    #[error("entry {id} was not settled before the reader ended: it may be delivered again")]
    Closed {
        /// The entry.
        id: EntryId,
    },
    /// Redis refused the command, and would refuse it again.
    #[error("entry {id} was not settled, it is delivered again: {source}")]
    Redis {
        /// The entry.
        id: EntryId,
        /// Why.
        #[source]
        source: Error,
    },
}

impl SettleError {
    /// The entry that was not settled.
    pub fn id(&self) -> EntryId {
        match self {
            Self::Lost { id } | Self::Closed { id } | Self::Redis { id, .. } => *id,
        }
    }
}

/// Some messages were not acknowledged; the others were.
#[derive(Debug, thiserror::Error)]
#[error("{} messages were not acknowledged; the first: {}", .0.len(), .0.first().map(ToString::to_string).unwrap_or_default())]
pub struct NotAcknowledged(pub Vec<SettleError>);
