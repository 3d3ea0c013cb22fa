use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::delivery::SUSPECT_FROM;
use super::group::ids_from;
use super::{ConsumerGroup, EntryId};
use crate::clock::Clock;
use crate::connection::{Error, ErrorKind, RetryLog, Script};

/// What this consumer holds, and the renewal that keeps it.
///
/// A lease is what Redis counts as this consumer's pending entry with an idle time below
/// `claim_min_idle`. While it is renewed in time nobody else can claim the entry; after a pause
/// that was too long it may be somebody else's, and only Redis knows.
#[derive(Clone)]
pub struct Leases(Arc<Registry>);

struct Registry {
    group: ConsumerGroup,
    renew: Script,
    held: Mutex<HashMap<EntryId, Arc<State>, foldhash::fast::RandomState>>,
    /// How many of them are suspects, for whoever asks often.
    suspects: AtomicUsize,
}

struct State {
    /// It may be what kills workers, so no other such is taken beside it.
    suspect: bool,
    /// The last moment at which Redis is known to have counted the entry as ours.
    proven: Mutex<Instant>,
    lost: AtomicBool,
    changed: Notify,
}

/// Ids in one renewal, so that the script holds the server for a fraction of a millisecond.
const RENEWAL_CHUNK: usize = 250;

impl Leases {
    /// Nothing held yet.
    pub fn new(group: ConsumerGroup) -> Self {
        Self(Arc::new(Registry {
            group,
            renew: Script::new(include_str!("scripts/renew.lua")),
            held: Mutex::default(),
            suspects: AtomicUsize::new(0),
        }))
    }

    /// Starts to hold `id`, delivered for the `attempt`th time, which Redis is known to have counted
    /// as ours at `proven`. `None` if it is held already: the same entry came twice (XAUTOCLAIM
    /// returns the caller's own, too).
    pub fn take(&self, id: EntryId, attempt: u32, proven: Instant) -> Option<Lease> {
        let state = Arc::new(State {
            suspect: attempt >= SUSPECT_FROM,
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

    /// An entry that is held and may be what kills workers.
    pub fn suspect(&self) -> Option<EntryId> {
        self.0.held().iter().find(|(_, state)| state.suspect).map(|(id, _)| *id)
    }

    /// True if an entry is held that may be what kills workers.
    pub fn hold_a_suspect(&self) -> bool {
        self.0.suspects.load(Ordering::Relaxed) > 0
    }

    /// How many entries are held.
    pub fn len(&self) -> usize {
        self.0.held().len()
    }

    /// True if nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The latest moment at which Redis can have delivered an entry that came back from a read
    /// sent at `sent`: no earlier than the read, no earlier than the entry itself. A blocked read
    /// is old when it returns, the entry it returns is usually young.
    pub fn delivered_after(&self, sent: Instant) -> impl Fn(EntryId) -> Instant + use<> {
        let (now, now_ms) = (Instant::now(), self.0.group.redis().clock().now_ms());
        move |id| {
            let age = Duration::from_millis(now_ms.saturating_sub(id.ms));
            now.checked_sub(age).map_or(sent, |written| written.max(sent))
        }
    }

    /// Renews every lease that has not been proven since half a renewal period ago. What Redis
    /// counts as another's is lost. What is pending with nobody, because the group was made anew, is
    /// neither: the work goes on, its reply is wanted all the same. Answers how many were due.
    ///
    /// # Errors
    /// The connection's or the server's; leases then stay as they are and lapse by themselves. A
    /// group that is gone is made anew.
    pub async fn renew(&self) -> Result<usize, Error> {
        let settings = self.0.group.settings();
        let due: Vec<(EntryId, Arc<State>)> = {
            let held = self.0.held();
            let old = |state: &Arc<State>| state.proven().elapsed() >= settings.lease_renewal / 2;
            held.iter().filter(|(_, s)| old(s)).map(|(id, s)| (*id, Arc::clone(s))).collect()
        };
        for chunk in due.chunks(RENEWAL_CHUNK) {
            let ids: Vec<EntryId> = chunk.iter().map(|(id, _)| *id).collect();
            let sent = Instant::now();
            let (owned, taken) = match self.0.group.on_ids(&self.0.renew, &[], &ids).await {
                Err(error) if error.kind() == ErrorKind::NoGroup => {
                    self.0.group.heal().await?;
                    return Ok(due.len());
                }
                answer => owned_and_taken(answer?),
            };
            for (id, state) in chunk {
                if owned.contains(id) {
                    *state.proven.lock().unwrap_or_else(PoisonError::into_inner) = sent;
                } else if taken.contains(id) && self.0.is_held(*id, state) {
                    self.0.group.metrics().lost_leases.increment(1);
                    state.lose();
                }
            }
        }
        Ok(due.len())
    }

    /// Keeps leases and membership alive until `stop`: renews every `lease_renewal`, gives a sign
    /// of life every third of the grace period.
    pub async fn keep(self, stop: CancellationToken) {
        let settings = self.0.group.settings().clone();
        // Within a lease as well, so that nobody takes the name of a live consumer. A blocked read and a
        // claim without entries are no sign of life on Redis 7.0.
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
                // Nothing was asked, so nothing is known to work.
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

    /// False once the entry was settled while its renewal was on the way: acknowledged is not lost.
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
    /// The entry.
    pub fn id(&self) -> EntryId {
        self.id
    }

    /// True if Redis cannot have given the entry to anybody else by `now`: it was ours less than a
    /// lease ago. False after a pause that was too long; then only Redis knows.
    pub fn is_current(&self, now: Instant) -> bool {
        let silence = now.saturating_duration_since(self.state.proven());
        !self.is_lost() && silence < self.registry.group.settings().claim_min_idle
    }

    /// True once another consumer is known to have taken the entry.
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
