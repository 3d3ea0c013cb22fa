//! Stores what the handlers make of events. Events that arrive together share a transaction: a commit costs much more
//! than a row.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::model::Arrival;
use crate::store::{Store, StoreError, Verdict};

/// Events in one transaction.
const MOST: usize = 128;

/// How long events wait for a database that cannot be used. Their leases are renewed meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);

/// The pause before the next try.
const PAUSE: Duration = Duration::from_millis(200);

/// The way of the handlers of one worker to the database. Clones share it.
#[derive(Clone)]
pub(super) struct Ledger(mpsc::Sender<Waiting>);

type Waiting = (Arrival, oneshot::Sender<Settled>);

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Settled {
    /// The database says so.
    Is(Verdict),
    /// The database cannot be used; the event is as it was.
    NotNow,
}

impl Ledger {
    /// Starts the task that stores; it ends with the last clone. `consumer` is asked when the first event arrives.
    pub(super) fn start(store: Store, consumer: impl FnOnce() -> String + Send + 'static) -> Self {
        let (sender, queue) = mpsc::channel(MOST);
        tokio::spawn(keep(store, consumer, queue));
        Self(sender)
    }

    /// Stores the effect of an event. If the future is dropped, it may still be stored.
    pub(super) async fn settle(&self, arrival: Arrival) -> Settled {
        let (answer, settled) = oneshot::channel();
        match self.0.send((arrival, answer)).await {
            Ok(()) => settled.await.unwrap_or(Settled::NotNow),
            Err(_) => Settled::NotNow,
        }
    }
}

async fn keep(store: Store, consumer: impl FnOnce() -> String, mut queue: mpsc::Receiver<Waiting>) {
    let Some(first) = queue.recv().await else { return };
    let (consumer, mut waiting) = (consumer(), vec![first]);
    loop {
        while waiting.len() < MOST
            && let Ok(next) = queue.try_recv()
        {
            waiting.push(next);
        }
        let (arrivals, answers): (Vec<Arrival>, Vec<_>) = waiting.drain(..).unzip();
        let settled = apply(&store, &consumer, &arrivals).await;
        for (answer, settled) in answers.into_iter().zip(settled) {
            // A handler whose lease was lost does not wait any more.
            let _ = answer.send(settled);
        }
        match queue.recv().await {
            Some(next) => waiting.push(next),
            None => return,
        }
    }
}

async fn apply(store: &Store, consumer: &str, arrivals: &[Arrival]) -> Vec<Settled> {
    let give_up_at = Instant::now() + PATIENCE;
    loop {
        match store.apply(consumer, arrivals).await {
            Ok(verdicts) => return verdicts.into_iter().map(Settled::Is).collect(),
            Err(StoreError::Unavailable(error)) if Instant::now() + PAUSE >= give_up_at => {
                tracing::warn!(%error, events = arrivals.len(), "the database cannot be used: events go back to the group");
                return vec![Settled::NotNow; arrivals.len()];
            }
            Err(StoreError::Unavailable(_)) => tokio::time::sleep(PAUSE).await,
            Err(error) if arrivals.len() == 1 => {
                return vec![Settled::Is(Verdict::Failed(error.to_string()))];
            }
            // One of them is to blame, and the others must not fail with it.
            Err(_) => {
                let mut settled = Vec::with_capacity(arrivals.len());
                for one in arrivals.chunks(1) {
                    settled.extend(Box::pin(apply(store, consumer, one)).await);
                }
                return settled;
            }
        }
    }
}
