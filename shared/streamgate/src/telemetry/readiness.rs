use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whether a process should receive traffic: each of its parts holds a latch, and all latches must be set.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Vec<Part>>>);

type Part = (&'static str, Arc<AtomicBool>);

impl Readiness {
    /// Adds a part that is not ready yet.
    pub fn latch(&self, part: &'static str) -> Latch {
        let set = Arc::new(AtomicBool::new(false));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((part, Arc::clone(&set)));
        Latch(set)
    }

    /// The parts that are not ready; none means ready.
    pub fn missing(&self) -> Vec<&'static str> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().filter(|(_, set)| !set.load(Ordering::Acquire)).map(|(part, _)| *part).collect()
    }

    /// True if no part is missing.
    pub fn is_ready(&self) -> bool {
        self.missing().is_empty()
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
}
