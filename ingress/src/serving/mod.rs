//! The routes in force: what the routes file says, with the stream that each route sends to.
//!
//! | File | What it does |
//! |---|---|
//! | `reload` | puts other routes in force when the file has changed |
//! | `metrics` | declares the metrics |
//!
//! Without ROUTES_FILE the routes are the weather alone, and never change.

pub mod metrics;
pub mod reload;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ::metrics::{Counter, Recorder, with_local_recorder};
use ::routes::{Auth, Handler, Priority, Route, Routes};
use service::http::body::BodyLimits;
use service::http::swagger::SwaggerPage;
use streamgate::requester::{Destination, DestinationMetrics, Requester};
use streamgate::stream::StreamKey;

use self::metrics::ServingMetrics;
use crate::api_keys::ApiKeys;
use crate::config::Settings;
use crate::openapi;
use crate::routes::weather::Forecasts;

/// The routes that are in force now.
pub struct Serving {
    current: RwLock<Arc<Served>>,
    parts: Parts,
}

/// Routes, with the streams that they send to. It never changes: a reload makes a new one.
pub struct Served {
    /// What the file says.
    pub routes: Arc<Routes>,
    /// By the id of the route.
    lines: HashMap<String, Line>,
    destinations: Vec<Destination>,
    /// The API as these routes make it.
    pub page: SwaggerPage,
    /// The priorities for which there is a destination of each stream, beside those of the routes.
    priorities: BTreeSet<Priority>,
}

/// Where the requests of one route go.
pub struct Line {
    to: Destination,
    by_priority: [Option<Destination>; 3],
    /// For a route whose handler is the weather.
    pub forecasts: Option<Arc<Forecasts>>,
    /// Replies that break the schema of the route.
    pub bad_replies: Counter,
}

/// What new routes are made of.
pub struct Parts {
    /// Sends the requests of all routes.
    pub requester: Requester,
    /// The settings of the process.
    pub settings: Settings,
    /// The API keys, if the settings name a file of keys.
    pub keys: Option<Arc<ApiKeys>>,
    /// Registers the series of new streams.
    pub recorder: Arc<dyn Recorder + Send + Sync>,
    /// The metrics of the routes.
    pub metrics: ServingMetrics,
}

/// How long a reload waits until Redis has permitted the commands of new streams.
const PERMISSION_PATIENCE: Duration = Duration::from_secs(2);

impl Serving {
    /// Puts `routes` in force.
    ///
    /// # Errors
    /// A rule that the routes and the settings break together.
    pub fn of(routes: Arc<Routes>, parts: Parts) -> Result<Self, String> {
        check(&routes, parts.keys.is_some())?;
        let served = parts.serve(routes);
        parts.metrics.in_force(&served.routes.version);
        Ok(Self { current: RwLock::new(Arc::new(served)), parts })
    }

    /// The routes in force.
    pub fn current(&self) -> Arc<Served> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The version of the routes file in force; `None` without a file.
    pub fn version(&self) -> Option<String> {
        self.parts.settings.routes_file.as_ref().map(|_| self.current().routes.version.clone())
    }

    /// The API keys, if a route may need one.
    pub fn keys(&self) -> Option<&Arc<ApiKeys>> {
        self.parts.keys.as_ref()
    }

    /// The longest time for the body of a request to arrive.
    pub fn body_time(&self) -> Duration {
        self.parts.settings.header_timeout.0
    }

    /// The forecasts of the route without a file; `None` with a file.
    pub fn built_in(&self) -> Option<Arc<Forecasts>> {
        let served = self.current();
        let route = served.routes.routes.first().filter(|_| self.parts.settings.routes_file.is_none())?;
        served.line(route)?.forecasts.clone()
    }

    /// The requester of all routes.
    pub fn requester(&self) -> &Requester {
        &self.parts.requester
    }

    /// Puts other routes in force. Requests under way go on as they began. A new stream gets requests once Redis was
    /// asked whether it permits them, so the change refuses nobody.
    ///
    /// # Errors
    /// A rule that the routes and the settings break together; the routes before stay in force.
    pub async fn replace(&self, routes: Arc<Routes>) -> Result<(), String> {
        check(&routes, self.parts.keys.is_some())?;
        self.parts.requester.allow_timeout(routes.longest_timeout());
        let served = Arc::new(self.parts.serve(routes));
        let permitted = async {
            while !served.destinations.iter().all(Destination::is_permitted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // A stream that Redis does not permit refuses its own requests; the others must not wait for it.
        let _ = tokio::time::timeout(PERMISSION_PATIENCE, permitted).await;
        self.parts.metrics.in_force(&served.routes.version);
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *current, Arc::clone(&served));
        drop(current);
        for gone in before.destinations.iter().filter(|before| !served.destinations.contains(before)) {
            self.parts.requester.remove(gone);
        }
        Ok(())
    }

    /// True if a key asks for a priority whose streams are not there yet.
    fn lacks_a_priority(&self) -> bool {
        let keys = self.parts.keys.as_ref();
        keys.is_some_and(|keys| !keys.priorities().is_subset(&self.current().priorities))
    }
}

impl Served {
    /// Where the requests of a route of these go.
    pub fn line(&self, route: &Route) -> Option<&Line> {
        self.lines.get(&route.id)
    }

    /// The streams of all routes.
    pub fn destinations(&self) -> &[Destination] {
        &self.destinations
    }
}

impl Line {
    /// The stream for requests of this priority; of the route's own with `None`.
    pub fn to(&self, priority: Option<Priority>) -> &Destination {
        let other = priority.and_then(|priority| self.by_priority[priority as usize].as_ref());
        other.unwrap_or(&self.to)
    }
}

impl Parts {
    fn serve(&self, routes: Arc<Routes>) -> Served {
        let priorities = self.keys.as_ref().map(|keys| keys.priorities()).unwrap_or_default();
        let mut destinations = Vec::new();
        let mut destination = |stream: StreamKey, group: &str| {
            let to = self.destination(stream, group);
            if !destinations.contains(&to) {
                destinations.push(to.clone());
            }
            to
        };
        let mut line = |route: &Route| {
            let to = destination(route.queue(), &route.group);
            let by_priority = Priority::ALL.map(|priority| {
                let wanted = priorities.contains(&priority);
                wanted.then(|| destination(priority.stream(&route.stream), &route.group))
            });
            let forecasts = matches!(route.handler, Handler::Weather).then(|| self.forecasts(route, &to));
            Line { forecasts, by_priority, to, bad_replies: self.metrics.bad_replies(&route.id) }
        };
        let lines = routes.routes.iter().map(|route| (route.id.clone(), line(route))).collect();
        let page = match &self.settings.routes_file {
            Some(_) => openapi::routes::page(&routes, self.keys.is_some()),
            None => SwaggerPage::of(openapi::description(self.keys.is_some())),
        };
        Served { page: page.ready_to_try(), routes, lines, destinations, priorities }
    }

    fn destination(&self, stream: StreamKey, group: &str) -> Destination {
        let settings = self.settings.destination(stream, group);
        let metrics = with_local_recorder(&self.recorder, || DestinationMetrics::declare(&settings.stream));
        self.requester.destination(settings, metrics)
    }

    fn forecasts(&self, route: &Route, to: &Destination) -> Arc<Forecasts> {
        Arc::new(Forecasts {
            requester: self.requester.clone(),
            to: to.clone(),
            body: BodyLimits { size: route.request.body_limit, time: self.settings.header_timeout.0 },
            timeout: route.timeout,
        })
    }
}

/// Checks the rules that routes and settings have together.
///
/// # Errors
/// A sentence about the first route that breaks one.
pub fn check(routes: &Routes, has_keys: bool) -> Result<(), String> {
    let open = routes.routes.iter().find(|route| !has_keys && route.auth == Auth::ApiKey);
    match open {
        Some(route) => Err(format!(
            "has the route {}, which demands an API key (auth: api-key), but API_KEYS_FILE is not set: set it, or write auth: none",
            route.id
        )),
        None => Ok(()),
    }
}
