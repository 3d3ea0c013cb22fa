use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ConsumerGroup;
use super::consumer_group::ids_from;
use crate::clock::Clock;
use crate::connection::{Error, ErrorKind, RetryLog, Script};
use crate::stream::EntryId;

/// The entries that this consumer holds, and the renewal of their leases.
///
/// A consumer has the lease of an entry while Redis lists the entry as pending with this consumer and its idle time is
/// below `claim_min_idle`. If the lease is renewed in time, no other consumer can claim the entry. After a longer
/// pause of this process another consumer may have claimed it, and only Redis knows.
#[derive(Clone)]
pub struct Leases(Arc<Registry>);

struct Registry {
    group: ConsumerGroup,
    renew: Script,
    held: Mutex<HashMap<EntryId, Arc<State>, foldhash::fast::RandomState>>,
    /// How many of them are suspects: the read loop asks often.
    suspects: AtomicUsize,
}

struct State {
    /// See [`Lease::is_suspect`].
    suspect: bool,
    /// The last moment at which this consumer certainly had the lease.
    proven: Mutex<Instant>,
    lost: AtomicBool,
    changed: Notify,
}

/// The most ids in one renewal, so that the script blocks the server for a fraction of a millisecond only.
const RENEWAL_CHUNK: usize = 250;

impl Leases {
    /// No leases yet.
    pub fn new(group: ConsumerGroup) -> Self {
        Self(Arc::new(Registry {
            group,
            renew: Script::new(include_str!("../scripts/renew.lua")),
            held: Mutex::default(),
            suspects: AtomicUsize::new(0),
        }))
    }

    /// Takes the lease of the entry `id`, which may be a suspect; at `proven` this consumer certainly had the lease.
    /// `None` if the entry is already held: XAUTOCLAIM also returns the caller's own entries.
    pub fn take(&self, id: EntryId, suspect: bool, proven: Instant) -> Option<Lease> {
        let state = Arc::new(State {
            suspect,
            proven: Mutex::new(proven),
            lost: AtomicBool::new(false),
            changed: Notify::new(),
        });
        match self.0.held().entry(id) {
            std::collections::hash_map::Entry::Occupied(_) => None,
            std::collections::hash_map::Entry::Vacant(place) => {
                self.0.suspects.fetch_add(usize::from(state.suspect), Ordering::Relaxed);
                place.insert(Arc::clone(&state));
                Some(Lease { id, state, registry: Arc::clone(&self.0) })
            }
        }
    }

    /// True if the entry is held.
    pub fn holds(&self, id: EntryId) -> bool {
        self.0.held().contains_key(&id)
    }

    /// A suspect that is held.
    pub fn suspect(&self) -> Option<EntryId> {
        self.0.held().iter().find(|(_, state)| state.suspect).map(|(id, _)| *id)
    }

    /// True if a suspect is held.
    pub fn hold_a_suspect(&self) -> bool {
        self.0.suspects.load(Ordering::Relaxed) > 0
    }

    /// The number of held entries.
    pub fn len(&self) -> usize {
        self.0.held().len()
    }

    /// True if no entry is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For an entry that a read returned, a moment before which Redis cannot have delivered it: the later of the
    /// time `sent`, when the read was sent, and the time in the entry's id. A read may have blocked for long, but the
    /// entry that ended it is usually new.
    pub fn delivered_after(&self, sent: Instant) -> impl Fn(EntryId) -> Instant + use<> {
        let (now, now_ms) = (Instant::now(), self.0.group.redis().clock().now_ms());
        move |id| {
            let age = Duration::from_millis(now_ms.saturating_sub(id.ms));
            now.checked_sub(age).map_or(sent, |written| written.max(sent))
        }
    }

    /// Renews every lease that was last proven more than half a renewal period ago; returns how many it renewed.
    ///
    /// If another consumer has an entry, its lease is lost. If an entry is not pending at all, because the group was
    /// created again, its lease is neither renewed nor lost: the work continues, because the caller still waits for
    /// the reply.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command; leases then stay as they are and expire. If the group
    /// is gone, it is created again.
    pub async fn renew(&self) -> Result<usize, Error> {
        let settings = self.0.group.settings();
        let due: Vec<(EntryId, Arc<State>)> = {
            let held = self.0.held();
            let old = |state: &Arc<State>| state.proven().elapsed() >= settings.lease_renewal / 2;
            held.iter().filter(|(_, s)| old(s)).map(|(id, s)| (*id, Arc::clone(s))).collect()
        };
        let mut renewed = 0;
        for chunk in due.chunks(RENEWAL_CHUNK) {
            let ids: Vec<EntryId> = chunk.iter().map(|(id, _)| *id).collect();
            let sent = Instant::now();
            let (owned, taken) = match self.0.group.on_ids(&self.0.renew, &[], &ids).await {
                Err(error) if error.kind() == ErrorKind::NoGroup => {
                    self.0.group.heal().await?;
                    return Ok(renewed);
                }
                answer => owned_and_taken(answer?),
            };
            renewed += owned.len();
            for (id, state) in chunk {
                if owned.contains(id) {
                    *state.proven.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                } else if taken.contains(id) && self.0.is_held(*id, state) {
                    self.0.group.metrics().lost_leases.increment(1);
                    state.lose();
                }
            }
        }
        Ok(renewed)
    }

    /// Keeps leases and membership alive until `stop`: renews the leases every `lease_renewal`, and gives a sign
    /// of life every third of the grace period or twice per lease, whichever is more often.
    pub async fn keep(self, stop: CancellationToken) {
        let settings = self.0.group.settings().clone();
        // At least twice per lease, so that no other process takes the name of this live consumer. In Redis 7.0, a
        // blocked read and a claim without entries do not reset the idle time.
        let heartbeat_period = (settings.grace / 3).min(settings.claim_min_idle / 2);
        let (mut renewal, mut membership) = (RetryLog::new("lease renewal"), RetryLog::new("sign of life"));
        let mut heartbeat_due = Instant::now();
        let mut ticks = tokio::time::interval(settings.lease_renewal);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.renew().await {
                // Nothing was renewed, so it is not known whether a renewal would succeed.
                Ok(0) => {}
                Ok(_) => renewal.healed(),
                Err(error) => drop(renewal.failed(&error)),
            }
            if heartbeat_due <= Instant::now() {
                match self.0.group.heartbeat().await {
                    Ok(()) => {
                        membership.healed();
                        heartbeat_due = Instant::now() + heartbeat_period;
                    }
                    Err(error) => heartbeat_due = Instant::now() + membership.failed(&error),
                }
            }
        }
    }
}

/// Reads `[[id, …], [id, …]]`.
fn owned_and_taken(answer: Value) -> (Vec<EntryId>, Vec<EntryId>) {
    match answer {
        Value::Array(mut parts) if parts.len() == 2 => {
            let taken = parts.pop().map(ids_from).unwrap_or_default();
            (parts.pop().map(ids_from).unwrap_or_default(), taken)
        }
        _ => Default::default(),
    }
}

impl Registry {
    fn held(&self) -> MutexGuard<'_, HashMap<EntryId, Arc<State>, foldhash::fast::RandomState>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False if the entry was settled during its renewal: it is then not pending, but not lost either.
    fn is_held(&self, id: EntryId, state: &Arc<State>) -> bool {
        self.held().get(&id).is_some_and(|held| Arc::ptr_eq(held, state))
    }
}

impl State {
    fn proven(&self) -> Instant {
        *self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }
}

/// The right to work on one entry. Dropping it ends the renewal: settle the entry first.
pub struct Lease {
    id: EntryId,
    state: Arc<State>,
    registry: Arc<Registry>,
}

impl Lease {
    /// The id of the entry.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// True if the entry is a suspect: its work may kill workers.
    ///
    /// A second delivery usually means that a worker was killed. Then all entries that it held are delivered again at
    /// the same time, so they must not run one by one. A third delivery means that the entry itself may kill workers.
    /// It runs alone, so that no other entry is in the worker that it kills. An entry that its handler gave back with
    /// a delay is no suspect: the worker has survived it.
    pub fn is_suspect(&self) -> bool {
        self.state.suspect
    }

    /// True if no other consumer can have claimed the entry by `now`: the lease was proven less than its length
    /// ago. False after a longer pause; then only Redis knows.
    pub fn is_current(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.state.proven());
        !self.is_lost() && silence < self.registry.group.settings().claim_min_idle
    }

    /// True once it is known that another consumer has the entry.
    pub fn is_lost(&self) -> bool {
        self.state.lost.load(Ordering::Acquire)
    }

    /// Completes when the lease is lost; the work should stop then.
    pub async fn lost(&self) {
        let changed = self.state.changed.notified();
        tokio::pin!(changed);
        changed.as_mut().enable();
        if !self.is_lost() {
            changed.await;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.registry.suspects.fetch_sub(usize::from(self.state.suspect), Ordering::Relaxed);
        self.registry.held().remove(&self.id);
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("id", &self.id).field("lost", &self.is_lost()).finish()
    }
}
