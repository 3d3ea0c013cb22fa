use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use routes::{Handler, Route};
use streamgate::envelope::Request;
use streamgate::resilience::BreakerState;

use super::plan::Queue;
use crate::forward::{Breaker, Door, UpstreamState};

/// The upstreams by name.
pub(super) type Upstreams = BTreeMap<String, Arc<UpstreamState>>;

/// Who does the work of a queue. A reload makes a new one.
#[derive(Debug)]
pub(super) struct Target {
    by_route: HashMap<String, Doer>,
    /// For entries without a route, or whose route was taken away.
    first: Option<Doer>,
    /// The upstreams of the queue, each once.
    pub(super) upstreams: Vec<Arc<UpstreamState>>,
}

/// Who does the work of a route.
#[derive(Debug, Clone)]
pub(super) struct Doer {
    pub(super) route: Arc<Route>,
    /// `None`: the weather, which is built in.
    pub(super) upstream: Option<Arc<UpstreamState>>,
}

/// Through what a queue takes entries.
pub(super) enum Entrance {
    /// As many as the upstreams have slots.
    Open,
    /// One entry, and the longest wait for it.
    Probe(Arc<Breaker>, Duration),
}

/// How often a queue of several upstreams looks for one that can be asked.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

impl Target {
    pub(super) fn new(queue: &Queue, upstreams: &Upstreams) -> Self {
        let doer = |route: &Arc<Route>| {
            let upstream = match &route.handler {
                Handler::Upstream(upstream) => Some(Arc::clone(upstreams.get(&upstream.name)?)),
                Handler::Weather | Handler::External => None,
            };
            Some(Doer { route: Arc::clone(route), upstream })
        };
        let doers: Vec<Doer> = queue.routes.iter().filter_map(doer).collect();
        let mut distinct: Vec<Arc<UpstreamState>> = Vec::new();
        for upstream in doers.iter().filter_map(|doer| doer.upstream.as_ref()) {
            if !distinct.iter().any(|known| Arc::ptr_eq(known, upstream)) {
                distinct.push(Arc::clone(upstream));
            }
        }
        Self {
            first: doers.first().cloned(),
            by_route: doers.into_iter().map(|doer| (doer.route.id.clone(), doer)).collect(),
            upstreams: distinct,
        }
    }

    /// Who does the work of `request`.
    pub(super) fn doer(&self, request: &Request) -> Option<&Doer> {
        let named = request.http.as_ref().and_then(|head| self.by_route.get(&head.route));
        named.or(self.first.as_ref())
    }

    /// Waits until `queue` may take entries for its upstreams.
    ///
    /// With one upstream, an open breaker pauses the queue. With several, the queue goes on while one can be asked, and
    /// entries for another one are handed back; so streams of their own are better.
    pub(super) async fn entrance(&self, queue: u64) -> Entrance {
        match &self.upstreams[..] {
            [] => Entrance::Open,
            [one] => loop {
                match one.breaker.door(queue).await {
                    Door::Probe(patience) => return Entrance::Probe(Arc::clone(&one.breaker), patience),
                    Door::Open => {
                        one.held.wait_for_free().await;
                        if self.free() > 0 {
                            return Entrance::Open;
                        }
                    }
                }
            },
            _ => loop {
                if self.free() > 0 {
                    return Entrance::Open;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            },
        }
    }

    /// How many entries the upstreams can take now.
    pub(super) fn free(&self) -> usize {
        let can_be_asked = |it: &&Arc<UpstreamState>| match self.upstreams.len() {
            1 => it.breaker.state() == BreakerState::Closed,
            _ => it.breaker.state() != BreakerState::Open,
        };
        match self.upstreams.is_empty() {
            true => usize::MAX,
            false => self.upstreams.iter().filter(can_be_asked).map(|it| it.held.free()).sum(),
        }
    }

    /// Waits until the breaker of the only upstream is not closed.
    pub(super) async fn shut(&self) {
        match &self.upstreams[..] {
            [one] => one.breaker.shut().await,
            _ => std::future::pending().await,
        }
    }

    /// True while an open breaker pauses the queue.
    pub(super) fn is_paused(&self) -> bool {
        !self.upstreams.is_empty()
            && self.upstreams.iter().all(|upstream| upstream.breaker.state() == BreakerState::Open)
    }
}
