use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use streamgate::resilience::ConcurrencyLimit;
use streamgate::worker::{Grant, Intake};
use tokio::sync::watch;

use super::shares::{QueueId, Share, Shares};
use super::target::{Entrance, Target};
use crate::forward::Breaker;

/// The most entries of one grant: more than a read takes would leave slots reserved.
const MOST: usize = 256;

/// How long a read waits that must not wait: the shortest that Redis knows.
const AT_ONCE: Duration = Duration::from_millis(1);

/// When a queue may take entries.
pub(super) struct QueueIntake {
    id: QueueId,
    shares: Shares,
    limit: ConcurrencyLimit,
    target: watch::Receiver<Arc<Target>>,
    granted: Mutex<Granted>,
}

/// The last grant.
#[derive(Default)]
enum Granted {
    #[default]
    Nothing,
    Share(usize),
    /// One entry, to see whether the upstream works again.
    Probe(Arc<Breaker>),
}

impl QueueIntake {
    pub(super) fn new(
        id: QueueId,
        shares: Shares,
        limit: ConcurrencyLimit,
        target: watch::Receiver<Arc<Target>>,
    ) -> Self {
        Self { id, shares, limit, target, granted: Mutex::default() }
    }

    async fn grant(&self) -> Grant {
        let _asking = self.shares.asking(self.id);
        let mut changes = self.target.clone();
        loop {
            let target = Arc::clone(&changes.borrow_and_update());
            let entrance = tokio::select! {
                entrance = target.entrance(self.id) => entrance,
                _ = changes.changed() => continue,
            };
            if let Entrance::Probe(breaker, patience) = entrance {
                self.remember(Granted::Probe(breaker));
                return Grant { most: 1, patience };
            }
            if let Some(Share { most, at_once }) = self.shares.share(self.id, MOST) {
                self.remember(Granted::Share(most));
                return Grant { most, patience: if at_once { AT_ONCE } else { Duration::MAX } };
            }
            tokio::select! {
                () = self.shares.changed() => {}
                _ = changes.changed() => {}
            }
        }
    }

    fn remember(&self, granted: Granted) -> Granted {
        std::mem::replace(&mut *self.granted.lock().unwrap_or_else(PoisonError::into_inner), granted)
    }
}

impl Intake for QueueIntake {
    fn limit(&self) -> &ConcurrencyLimit {
        &self.limit
    }

    fn open(&self) -> Pin<Box<dyn Future<Output = Grant> + Send + '_>> {
        Box::pin(self.grant())
    }

    fn closed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let is_probe =
            matches!(&*self.granted.lock().unwrap_or_else(PoisonError::into_inner), Granted::Probe(_));
        let mut changes = self.target.clone();
        Box::pin(async move {
            if is_probe {
                return std::future::pending().await;
            }
            let target = Arc::clone(&changes.borrow_and_update());
            tokio::select! {
                () = target.shut() => {}
                _ = changes.changed() => {}
            }
        })
    }

    fn took(&self, entries: usize) {
        match self.remember(Granted::Nothing) {
            Granted::Nothing => {}
            Granted::Share(asked) => self.shares.took(self.id, asked, entries),
            Granted::Probe(breaker) => breaker.looked(self.id, entries > 0),
        }
    }
}
