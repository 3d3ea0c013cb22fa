use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use redis::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::xadd::{AppendOptions, Outcome, write};
use crate::connection::{Arguments, BatchWriter, Error, Outbound, Redis};
use crate::fields::Fields;
use crate::stream::StreamKey;

/// The writer of one stream's small entries. It starts with the first of them.
#[derive(Default)]
pub(super) struct Outlets {
    writer: OnceLock<BatchWriter<Append>>,
    waiting: Arc<AtomicUsize>,
}

impl Outlets {
    pub(super) fn writer(&self, redis: &Redis) -> &BatchWriter<Append> {
        self.writer.get_or_init(|| {
            let waiting = Arc::clone(&self.waiting);
            BatchWriter::spawn(redis.clone(), "append", QUEUED, move || waiting.load(Ordering::Relaxed))
        })
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
