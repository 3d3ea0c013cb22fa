use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use streamgate::stream::{ConsumerGroup, StreamKey};
use tokio::sync::watch;

use super::target::Target;
use crate::forward::UpstreamState;

/// What this process serves. Clones share all state.
#[derive(Clone, Default)]
pub struct Served(Arc<RwLock<State>>);

#[derive(Default)]
struct State {
    queues: BTreeMap<String, ServedQueue>,
    upstreams: Vec<Arc<UpstreamState>>,
    version: Option<String>,
}

/// One queue that this process serves.
#[derive(Clone)]
pub struct ServedQueue {
    /// The group of its workers, with this worker's name.
    pub group: ConsumerGroup,
    /// How long callers wait for its replies.
    pub timeout: Duration,
    /// Who does the work; `None` without a routes file.
    pub(super) target: Option<watch::Receiver<Arc<Target>>>,
}

impl ServedQueue {
    /// The queue of a process without a routes file.
    pub fn built_in(group: ConsumerGroup, timeout: Duration) -> Self {
        Self { group, timeout, target: None }
    }

    /// The stream.
    pub fn key(&self) -> &StreamKey {
        &self.group.settings().stream
    }

    /// True while the breaker of its upstream is open, so that it takes no entries.
    pub fn is_paused(&self) -> bool {
        self.target.as_ref().is_some_and(|target| target.borrow().is_paused())
    }

    /// The upstreams that do its work, by name.
    pub fn upstreams(&self) -> Vec<String> {
        let Some(target) = &self.target else { return Vec::new() };
        target.borrow().upstreams.iter().map(|upstream| upstream.config.name.clone()).collect()
    }
}

impl Served {
    /// One queue, without a routes file.
    pub fn built_in(queue: ServedQueue) -> Self {
        let served = Self::default();
        served.add(queue);
        served
    }

    /// The queues, sorted by the names of their streams.
    pub fn queues(&self) -> Vec<ServedQueue> {
        self.read(|state| state.queues.values().cloned().collect())
    }

    /// The queue of the stream called `name`.
    pub fn queue(&self, name: &str) -> Option<ServedQueue> {
        self.read(|state| state.queues.get(name).cloned())
    }

    /// The upstreams, sorted by name.
    pub fn upstreams(&self) -> Vec<Arc<UpstreamState>> {
        self.read(|state| state.upstreams.clone())
    }

    /// The version of the routes in force; `None` without a routes file.
    pub fn version(&self) -> Option<String> {
        self.read(|state| state.version.clone())
    }

    pub(super) fn add(&self, queue: ServedQueue) {
        let name = queue.key().as_str().to_owned();
        self.write(|state| state.queues.insert(name, queue));
    }

    pub(super) fn remove(&self, name: &str) {
        self.write(|state| state.queues.remove(name));
    }

    pub(super) fn set_routes(&self, version: &str, upstreams: Vec<Arc<UpstreamState>>) {
        self.write(|state| {
            state.version = Some(version.to_owned());
            state.upstreams = upstreams;
        });
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
