use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use routes::{Handler, Priority, Route, Routes};
use streamgate::stream::StreamKey;

/// One queue: the entries of one stream with one priority.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    /// Its key, such as `orders.high`.
    pub(super) key: StreamKey,
    /// The stream that it belongs to, such as `orders`.
    pub(super) stream: StreamKey,
    pub(super) group: String,
    pub(super) priority: Priority,
    /// The routes of the stream whose work this process does, in the order of the file; at least one.
    pub(super) routes: Vec<Arc<Route>>,
}

impl Queue {
    /// The longest time that a caller waits.
    pub(super) fn timeout(&self) -> Duration {
        self.routes.iter().map(|route| route.timeout).max().unwrap_or_default()
    }

    /// True if a request may wait for its upstream until its deadline.
    pub(super) fn forwards(&self) -> bool {
        self.routes.iter().any(|route| matches!(route.handler, Handler::Upstream(_)))
    }
}

/// The queues of `routes` that this process serves, by key: those of the streams in `only`, or of all streams if it is
/// empty. A stream is served at each priority, because the API key of a caller may change that of its route.
pub(super) fn queues(routes: &Routes, only: &[StreamKey]) -> BTreeMap<StreamKey, Queue> {
    let mut streams: BTreeMap<&StreamKey, Vec<Arc<Route>>> = BTreeMap::new();
    for route in &routes.routes {
        let is_ours = !matches!(route.handler, Handler::External);
        if is_ours && (only.is_empty() || only.contains(&route.stream)) {
            streams.entry(&route.stream).or_default().push(Arc::clone(route));
        }
    }
    let mut queues = BTreeMap::new();
    for (stream, routes) in streams {
        for priority in Priority::ALL {
            let key = priority.stream(stream);
            let group = routes.first().map(|route| route.group.clone()).unwrap_or_default();
            let queue =
                Queue { key: key.clone(), stream: stream.clone(), group, priority, routes: routes.clone() };
            queues.insert(key, queue);
        }
    }
    queues
}

/// The streams in `only` that no route has.
pub(super) fn unknown<'a>(routes: &Routes, only: &'a [StreamKey]) -> Vec<&'a StreamKey> {
    only.iter().filter(|stream| !routes.routes.iter().any(|route| route.stream == **stream)).collect()
}
