use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::xadd::{AppendOptions, Outcome, write};
use crate::connection::{Arguments, BatchWriter, Error, ExclusiveConnection, Outbound, Redis};
use crate::fields::Fields;
use crate::stream::StreamKey;

/// The connections on which one stream is written; each is made when it is first needed.
#[derive(Default)]
pub(super) struct Outlets {
    /// The writer of small entries.
    writer: OnceLock<BatchWriter<Append>>,
    waiting: Arc<AtomicUsize>,
    /// Connections that no batch uses now.
    idle: Mutex<Vec<ExclusiveConnection>>,
}

/// The most idle connections that are kept.
const MOST_IDLE: usize = 4;

impl Outlets {
    pub(super) fn writer(&self, redis: &Redis) -> &BatchWriter<Append> {
        self.writer.get_or_init(|| {
            let waiting = Arc::clone(&self.waiting);
            BatchWriter::spawn(redis.clone(), "append", QUEUED, move || waiting.load(Ordering::Relaxed))
        })
    }

    /// A connection for one batch.
    pub(super) fn connection(&self, redis: &Redis) -> ExclusiveConnection {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| ExclusiveConnection::new(redis.clone()))
    }

    /// Keeps a connection for the next batch.
    pub(super) fn give_back(&self, connection: ExclusiveConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MOST_IDLE {
            idle.push(connection);
        }
    }

    /// Counts a caller until the guard is dropped.
    pub(super) fn wait(&self) -> Waiting {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(Arc::clone(&self.waiting))
    }
}

/// The most entries that wait for the writer; further callers wait for room.
const QUEUED: usize = 1_024;

/// One caller that waits.
pub(super) struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One entry on its way to Redis.
pub(super) struct Append {
    pub(super) key: StreamKey,
    pub(super) fields: Fields,
    pub(super) options: AppendOptions,
    pub(super) give_up_at: Instant,
    /// True if a try ended without an answer.
    pub(super) uncertain: bool,
    /// Takes how it ended, and the fields.
    pub(super) done: oneshot::Sender<(Outcome, Fields)>,
}

impl Outbound for Append {
    fn write(&self, args: &mut Arguments<'_>) {
        write(&self.key, &self.fields, &self.options, args);
    }

    fn give_up_at(&self) -> Instant {
        self.give_up_at
    }

    fn became_uncertain(&mut self) {
        self.uncertain = true;
    }

    fn settle(self, answer: Result<Value, Error>) {
        // The caller of `append` may have gone.
        let _ = self.done.send((Outcome { answer, uncertain: self.uncertain }, self.fields));
    }
}
