//! When the next delayed entry is due: the settler delays entries, the read loop takes them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Error, RetryLog, Waker};
use crate::stream::{Delays, LeasedEntry};

/// How often a worker looks for entries that other workers of its group have delayed.
const PERIOD: Duration = Duration::from_secs(1);

/// The time at which the read loop looks for delayed entries.
#[derive(Clone)]
pub(super) struct DueTime {
    at: Arc<Mutex<Instant>>,
    reader: Waker,
}

impl DueTime {
    pub(super) fn new(reader: Waker) -> Self {
        Self { at: Arc::new(Mutex::new(Instant::now())), reader }
    }

    fn get(&self) -> Instant {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, at: Instant) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// An entry will be due after `delay`. If the reader would look later, it is woken.
    pub(super) async fn is_in(&self, delay: Duration) {
        let due = Instant::now() + delay;
        if due < self.get() {
            self.set(due);
            self.reader.wake().await;
        }
    }
}

/// Takes delayed entries that are due.
pub(super) struct DueEntries {
    delays: Delays,
    time: DueTime,
    outage: RetryLog,
}

impl DueEntries {
    pub(super) fn new(delays: Delays, time: DueTime) -> Self {
        Self { delays, time, outage: RetryLog::new("delayed entries") }
    }

    pub(super) fn may_be_due(&self) -> bool {
        self.until_next().is_zero()
    }

    pub(super) fn until_next(&self) -> Duration {
        self.time.get().saturating_duration_since(Instant::now())
    }

    pub(super) async fn take(&mut self, most: usize) -> Result<Vec<LeasedEntry>, Error> {
        // Set before the look, so that an entry delayed meanwhile is not missed.
        self.time.set(Instant::now() + PERIOD);
        match self.delays.take_due(most).await {
            Ok((entries, next)) => {
                self.outage.healed();
                if let Some(next) = next.filter(|next| *next < PERIOD) {
                    // A millisecond later, because the server's clock has a part of one that it does not tell.
                    self.time.set(self.time.get().min(Instant::now() + next + Duration::from_millis(1)));
                }
                Ok(entries)
            }
            Err(error) => {
                self.outage.failed(&error);
                Err(error)
            }
        }
    }
}
