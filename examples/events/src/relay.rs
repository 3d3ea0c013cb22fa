//! Appends the events of the outbox to their streams.
//!
//! One process does this at a time, the one that holds the lease in the database. It takes the oldest events of a
//! stream, appends them in order, and notes in the database where they are. If it is not known whether an earlier
//! append arrived (this process has just taken the lease, or an append or a note failed), it first looks for the events
//! on the stream: each entry has the id of its event, and all events up to the relay's floor are known to be there.
//!
//! A process that was suspended for longer than its lease may still append once after another process has taken over.
//! The event is then on the stream twice; the consumers let it take effect once, because they go by its id.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use streamgate::connection::Redis;
use streamgate::fields::Fields;
use streamgate::stream::{BatchError, EntryId, InvalidStreamKey, ReadError, RedisStream};
use streamgate::telemetry::{declare_counter, declare_gauge};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::model::{NewEvent, new_id};
use crate::store::{Store, StoreError};

/// How often the outbox is looked at. Events of this process are relayed at once.
const LOOK: Duration = Duration::from_millis(100);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// How often the outbox is counted.
const MEASURE: Duration = Duration::from_secs(2);

/// Events appended in one pipeline and noted in one transaction.
const BATCH: usize = 256;

/// The relay of one process. Clones share it.
#[derive(Clone)]
pub struct Relay(Arc<Shared>);

struct Shared {
    store: Store,
    redis: Redis,
    lease: Duration,
    holder: String,
    wake: Notify,
    leading: AtomicBool,
    waiting: AtomicI64,
}

/// A stream that the relay appends to.
struct Target {
    /// It keeps its connection.
    stream: RedisStream,
    /// No event in the outbox is on the stream.
    certain: bool,
}

/// Why events stay in the outbox for now.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Append(#[from] BatchError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the name of the stream {0}")]
    Name(#[from] InvalidStreamKey),
    #[error("the lease is nearly over")]
    Lease,
}

impl Relay {
    /// A relay that appends to the streams of `redis`. If it is silent for a `lease`, another process takes over; it
    /// renews the lease three times meanwhile.
    pub fn new(store: Store, redis: Redis, lease: Duration) -> Self {
        Self(Arc::new(Shared {
            store,
            redis,
            lease,
            holder: new_id(),
            wake: Notify::new(),
            leading: AtomicBool::new(false),
            waiting: AtomicI64::new(0),
        }))
    }

    /// Says that there is a new event in the outbox.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// True if this process holds the lease.
    pub fn is_leading(&self) -> bool {
        self.0.leading.load(Ordering::Relaxed)
    }

    /// Relays until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let (held, holding) = watch::channel(None);
        let relaying = async {
            tokio::join!(self.hold_lease(held), self.relay(holding), self.measure());
        };
        stop.run_until_cancelled(relaying).await;
    }

    /// Takes the lease and renews it; tells until when it is held.
    async fn hold_lease(&self, held: watch::Sender<Option<Instant>>) {
        loop {
            let asked = Instant::now();
            let until = match self.0.store.hold_relay_lease(&self.0.holder, self.0.lease).await {
                Ok(true) => Some(asked + self.0.lease),
                Ok(false) => None,
                // It may have been renewed or not: what is known stays.
                Err(error) => {
                    tracing::debug!(%error, "the lease of the relay was not renewed");
                    *held.borrow()
                }
            };
            let until = until.filter(|until| *until > Instant::now());
            if until.is_some() != self.0.leading.swap(until.is_some(), Ordering::Relaxed) {
                tracing::info!(leading = until.is_some(), "the lease of the relay");
            }
            held.send_replace(until);
            tokio::time::sleep(self.0.lease / 3).await;
        }
    }

    async fn relay(&self, holding: watch::Receiver<Option<Instant>>) {
        let relayed = declare_counter("events_relayed_total", "Events appended to their stream");
        let (mut targets, mut failed) = (HashMap::new(), false);
        loop {
            if holding.borrow().is_none() {
                targets.clear();
                let _ = tokio::time::timeout(LOOK, self.0.wake.notified()).await;
                continue;
            }
            let (moved, error) = self.relay_all(&mut targets, &holding).await;
            relayed.increment(moved as u64);
            // An outage is one line in the log, not one for each try.
            match &error {
                Some(error) if !failed => tracing::warn!(%error, "events stay in the outbox for now"),
                None if failed && moved > 0 => tracing::info!("events leave the outbox again"),
                _ => {}
            }
            failed = error.is_some() || (failed && moved == 0);
            if error.is_some() {
                tokio::time::sleep(PAUSE).await;
            } else if moved == 0 {
                let _ = tokio::time::timeout(LOOK, self.0.wake.notified()).await;
            }
        }
    }

    /// Appends the oldest events of every stream; returns how many, and the last failure. A stream that fails does not
    /// stop the others.
    async fn relay_all(
        &self,
        targets: &mut HashMap<String, Target>,
        holding: &watch::Receiver<Option<Instant>>,
    ) -> (usize, Option<RelayError>) {
        let streams = match self.0.store.streams_to_relay().await {
            Ok(streams) => streams,
            Err(error) => return (0, Some(error.into())),
        };
        let (mut moved, mut failure) = (0, None);
        for name in streams {
            match self.relay_stream(&name, targets, holding).await {
                Ok(count) => moved += count,
                Err(error) => failure = Some(error),
            }
        }
        (moved, failure)
    }

    /// Appends the oldest events of a stream; returns how many.
    async fn relay_stream(
        &self,
        name: &str,
        targets: &mut HashMap<String, Target>,
        holding: &watch::Receiver<Option<Instant>>,
    ) -> Result<usize, RelayError> {
        let target = match targets.entry(name.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                new.insert(Target { stream: RedisStream::new(&self.0.redis, name)?, certain: false })
            }
        };
        if !target.certain {
            self.find_appended(name, &target.stream).await?;
        }
        let events = self.0.store.to_relay(name, BATCH as i64).await?;
        let left = holding.borrow().map(|until| until.saturating_duration_since(Instant::now()));
        // An append that starts late could end after another process has taken over.
        if left.unwrap_or_default() < self.0.lease / 3 {
            return Err(RelayError::Lease);
        }
        target.certain = false;
        let entries: Vec<Fields> = events.iter().map(NewEvent::fields).collect();
        let ids = target.stream.append_batch(entries).await?;
        let places: Vec<_> = events.into_iter().map(|event| event.id).zip(ids).collect();
        self.0.store.relayed(name, &places).await?;
        target.certain = true;
        Ok(places.len())
    }

    /// Notes the events of the outbox that are on the stream.
    async fn find_appended(&self, name: &str, stream: &RedisStream) -> Result<(), RelayError> {
        // Consumers may have trimmed what they have processed; the audit trail knows it.
        self.0.store.forget_arrived(name).await?;
        let floor = self.0.store.relay_floor(name).await?;
        let mut entries = stream.range((Bound::Excluded(floor), Bound::Unbounded));
        let mut places: Vec<(String, EntryId)> = Vec::new();
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            if let Some(id) = entry.value.text("id").filter(|id| !id.contains('\0')) {
                places.push((id.to_owned(), entry.id));
            }
            if places.len() == BATCH {
                self.0.store.relayed(name, &std::mem::take(&mut places)).await?;
            }
        }
        Ok(self.0.store.relayed(name, &places).await?)
    }

    /// How many events are in the outbox, as the last look showed.
    pub fn waiting(&self) -> i64 {
        self.0.waiting.load(Ordering::Relaxed)
    }

    async fn measure(&self) {
        let gauge = declare_gauge("events_outbox", "Events that are not known to be on their stream");
        loop {
            if let Ok(waiting) = self.0.store.outbox_len().await {
                self.0.waiting.store(waiting, Ordering::Relaxed);
                gauge.set(waiting as f64);
            }
            tokio::time::sleep(MEASURE).await;
        }
    }
}
