use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a process should receive traffic: each of its parts holds a latch, and all latches must be set.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    own: Vec<(&'static str, Arc<AtomicBool>)>,
    joined: Vec<Readiness>,
}

impl Readiness {
    /// Adds a part that is not ready yet.
    pub fn latch(&self, part: &'static str) -> Latch {
        let set = Arc::new(AtomicBool::new(false));
        self.lock().own.push((part, Arc::clone(&set)));
        Latch(set)
    }

    /// Adds all parts of `other` until the guard is dropped: for a component of the process that comes and goes.
    #[must_use = "the parts of `other` count until the guard is dropped"]
    pub fn join(&self, other: &Self) -> Joined {
        self.lock().joined.push(other.clone());
        Joined { whole: self.clone(), joined: other.clone() }
    }

    /// The parts that are not ready, each name once; none means ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let (mut missing, joined) = {
            let parts = self.lock();
            let missing = parts.own.iter().filter(|(_, set)| !set.load(Ordering::Acquire));
            (missing.map(|(part, _)| *part).collect::<Vec<_>>(), parts.joined.clone())
        };
        for part in joined.iter().flat_map(Self::missing) {
            if !missing.contains(&part) {
                missing.push(part);
            }
        }
        missing
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if no part is missing.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
    }
}

/// Keeps the parts of one [`Readiness`] in another.
#[derive(Debug)]
pub struct Joined {
    whole: Readiness,
    joined: Readiness,
}

impl Drop for Joined {
    fn drop(&mut self) {
        let mut parts = self.whole.lock();
        if let Some(at) = parts.joined.iter().position(|other| Arc::ptr_eq(&other.0, &self.joined.0)) {
            parts.joined.swap_remove(at);
        }
    }
}

/// Says whether one part is ready. If the part drops its latch, the process is not ready.
#[derive(Debug)]
pub struct Latch(Arc<AtomicBool>);

impl Latch {
    /// Sets whether this part is ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    /// A view of this latch for another part of the process.
    pub fn view(&self) -> LatchView {
        LatchView(Arc::clone(&self.0))
    }
}

/// Reads the [`Latch`] of another part, for a part that depends on it.
#[derive(Debug, Clone)]
pub struct LatchView(Arc<AtomicBool>);

impl LatchView {
    /// True while that part is ready.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Drop for Latch {
    fn drop(&mut self) {
        self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_while_all_its_parts_are() {
        let readiness = Readiness::default();
        let (redis, listener) = (readiness.latch("redis"), readiness.latch("listener"));
        assert_eq!(readiness.missing(), ["redis", "listener"]);

        redis.set(true);
        listener.set(true);
        assert!(readiness.is_ready());

        drop(redis);
        assert_eq!(readiness.missing(), ["redis"]);
    }

    #[test]
    fn joined_parts_count_until_their_guard_is_dropped() {
        let (readiness, stream) = (Readiness::default(), Readiness::default());
        readiness.latch("redis").set(true);
        let _redis = { readiness.latch("listener") };
        let reader = stream.latch("reader");

        let joined = readiness.join(&stream);
        assert_eq!(readiness.missing(), ["redis", "listener", "reader"]);
        reader.set(true);
        assert_eq!(readiness.missing(), ["redis", "listener"]);
        drop(reader);
        drop(joined);

        assert_eq!(readiness.missing(), ["redis", "listener"]);
    }
}
