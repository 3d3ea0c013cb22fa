use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::Recorder;
use routes::{Priority, Routes};
use streamgate::connection::Redis;
use streamgate::responder::{Handler, Responder, ResponderMetrics, ResponderSettings};
use streamgate::stream::{GroupSettings, StreamHealth, StreamKey};
use streamgate::telemetry::{Joined, Readiness};
use streamgate::worker::PartEnded;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handler::StreamHandler;
use super::intake::QueueIntake;
use super::plan::{self, Queue};
use super::served::{Served, ServedQueue};
use super::shares::Shares;
use super::target::{Target, Upstreams};
use crate::forward::{ForwardMetrics, SetupError, UpstreamState};

/// How often streams that were added or taken away are looked at: one that was taken away is served until nothing waits
/// on it.
const PERIOD: Duration = Duration::from_secs(1);

/// Longer than any deadline: a forwarded request ends by its upstream's timeout and by its deadline.
const UNTIL_DEADLINE: Duration = Duration::from_secs(720 * 60 * 60);

/// What a [`Supervisor`] needs.
pub struct Setup<H> {
    /// The Redis server.
    pub redis: Redis,
    /// The settings of a responder; stream, group and time limits come from the file.
    pub settings: ResponderSettings,
    /// The streams to serve; empty for all of the file.
    pub only: Vec<StreamKey>,
    /// Does the work of `handler: weather`.
    pub weather: H,
    /// The routes in force, and a notice whenever others are.
    pub routes: watch::Receiver<Arc<Routes>>,
    /// Where the metrics of streams and upstreams are declared.
    pub recorder: Arc<dyn Recorder + Send + Sync>,
    /// The readiness of the process.
    pub readiness: Readiness,
}

/// Runs a responder for each queue of the routes file, and follows the file.
pub struct Supervisor<H> {
    setup: Setup<Arc<H>>,
    served: Served,
    shares: Shares,
    upstreams: Upstreams,
    queues: BTreeMap<StreamKey, Running>,
    responders: JoinSet<(StreamKey, Result<(), PartEnded>)>,
    next_id: u64,
    stop: CancellationToken,
    grace: Duration,
}

/// One queue whose responder runs.
struct Running {
    id: u64,
    target: watch::Sender<Arc<Target>>,
    stop: CancellationToken,
    /// It was taken away from the file, and stops once nothing waits on it.
    retiring: bool,
    parts: Readiness,
    /// Its parts count for the process. Those of a stream that a reload has added do so once they are ready, so that a
    /// reload does not make the process unready.
    joined: Option<Joined>,
}

impl<H: Handler> Supervisor<H> {
    /// Starts to serve the routes in force. At `stop` each responder drains within `grace`. [`Supervisor::run`] must
    /// follow.
    ///
    /// # Errors
    /// The client of an upstream cannot be built.
    pub fn start(setup: Setup<H>, stop: CancellationToken, grace: Duration) -> Result<Self, SetupError> {
        let Setup { redis, settings, only, weather, mut routes, recorder, readiness } = setup;
        let (weather, first) = (Arc::new(weather), Arc::clone(&routes.borrow_and_update()));
        let shares = Shares::new(settings.concurrency);
        let setup = Setup { redis, settings, only, weather, routes, recorder, readiness };
        let upstreams = upstreams_of(&setup, &Upstreams::new(), &first)?;
        let mut supervisor = Self {
            setup,
            served: Served::default(),
            shares,
            upstreams,
            queues: BTreeMap::new(),
            responders: JoinSet::new(),
            next_id: 0,
            stop,
            grace,
        };
        supervisor.apply(&first);
        Ok(supervisor)
    }

    /// What runs.
    pub fn served(&self) -> Served {
        self.served.clone()
    }

    /// Serves the streams until it is stopped.
    ///
    /// # Errors
    /// A part of a responder ended before it was stopped, which is a defect.
    pub async fn run(mut self) -> Result<(), PartEnded> {
        let (mut routes, stop) = (self.setup.routes.clone(), self.stop.clone());
        let mut tick = tokio::time::interval(PERIOD);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = routes.changed() => {
                    let routes = Arc::clone(&routes.borrow_and_update());
                    self.apply(&routes);
                }
                _ = tick.tick() => {
                    self.join_ready();
                    self.retire().await;
                }
                Some(ended) = self.responders.join_next() => self.ended(ended)?,
            }
        }
        while let Some(ended) = self.responders.join_next().await {
            ended.map_err(|_| PartEnded::new("responder"))?.1?;
        }
        Ok(())
    }

    /// Makes `routes` those in force: an upstream that changed is asked at its new place at once, new streams are
    /// served, and streams that are gone are served until nothing waits on them.
    fn apply(&mut self, routes: &Routes) {
        let upstreams = match upstreams_of(&self.setup, &self.upstreams, routes) {
            Ok(upstreams) => upstreams,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "the routes before stay in force");
                return;
            }
        };
        for stream in plan::unknown(routes, &self.setup.only) {
            tracing::warn!(%stream, "no route has this stream, which this process should serve");
        }
        let replaced = std::mem::replace(&mut self.upstreams, upstreams);
        let planned = plan::queues(routes, &self.setup.only);
        for (key, running) in &mut self.queues {
            running.retiring = !planned.contains_key(key);
        }
        for (key, queue) in planned {
            let target = Arc::new(Target::new(&queue, &self.upstreams));
            match self.queues.get(&key) {
                // A responder that has begun to stop is started again once it has ended.
                Some(running) => drop(running.target.send_replace(target)),
                None => self.serve(queue, target),
            }
        }
        self.served.set_routes(&routes.version, self.upstreams.values().cloned().collect());
        for (name, upstream) in replaced {
            if !self.upstreams.get(&name).is_some_and(|now| Arc::ptr_eq(now, &upstream)) {
                upstream.breaker.retire();
            }
        }
    }

    fn serve(&mut self, queue: Queue, target: Arc<Target>) {
        let Setup { redis, settings, weather, recorder, readiness, .. } = &self.setup;
        let settings = settings_of(settings, &queue);
        let metrics = metrics::with_local_recorder(recorder, || ResponderMetrics::declare(&settings));
        let (target, view) = watch::channel(target);
        let id = self.next_id;
        self.next_id += 1;
        let stream = self.stream_number(&queue.stream, id);
        let of_upstreams = view.clone();
        let free = move || of_upstreams.borrow().free();
        let limit = self.shares.add(id, stream, queue.priority, free);
        let intake = QueueIntake::new(id, self.shares.clone(), limit, view.clone());
        let parts = Readiness::default();
        let handler = StreamHandler { weather: Arc::clone(weather), target: view.clone() };
        let responder = Responder::new(redis.clone(), settings, metrics, &parts, handler);
        let responder = responder.intake(Arc::new(intake));
        self.served.add(ServedQueue {
            group: responder.group().clone(),
            timeout: queue.timeout(),
            target: Some(view),
        });
        let (own_stop, key, grace) = (self.stop.child_token(), queue.key.clone(), self.grace);
        // A first apply, before a version is in force, is the start of the process.
        let joined = self.served.version().is_none().then(|| readiness.join(&parts));
        let running = Running { id, target, stop: own_stop.clone(), retiring: false, parts, joined };
        self.queues.insert(queue.key.clone(), running);
        tracing::info!(stream = %queue.key, group = queue.group, "serving");
        self.responders.spawn(async move { (key, responder.run(own_stop, grace).await) });
    }

    /// The number of a stream in the shares: the same for all its queues.
    fn stream_number(&self, stream: &StreamKey, new: u64) -> u64 {
        let siblings = Priority::ALL.map(|priority| priority.stream(stream));
        let sibling = siblings.iter().find_map(|key| self.queues.get(key));
        sibling.and_then(|running| self.shares.stream_of(running.id)).unwrap_or(new)
    }

    /// Lets the streams that a reload has added count for the readiness of the process.
    fn join_ready(&mut self) {
        for running in self.queues.values_mut().filter(|running| running.joined.is_none()) {
            if running.parts.is_ready() {
                running.joined = Some(self.setup.readiness.join(&running.parts));
            }
        }
    }

    /// Stops the responders of streams that were taken away and on which nothing waits.
    async fn retire(&mut self) {
        for (key, running) in self.queues.iter().filter(|(_, running)| running.retiring) {
            let Some(queue) = self.served.queue(key.as_str()) else { continue };
            let health = StreamHealth::read(&self.setup.redis, key).await;
            let is_idle = match &health {
                Ok(Some(health)) => health
                    .groups
                    .iter()
                    .filter(|group| group.name == queue.group.settings().group)
                    .all(|group| group.pending == 0 && group.lag == Some(0)),
                Ok(None) => true,
                Err(_) => false,
            };
            if is_idle && !running.stop.is_cancelled() {
                tracing::info!(stream = %key, "no route has this stream any more, and nothing waits on it");
                running.stop.cancel();
            }
        }
    }

    /// A responder has ended: because its stream was taken away, or by a defect.
    fn ended(
        &mut self,
        ended: Result<(StreamKey, Result<(), PartEnded>), tokio::task::JoinError>,
    ) -> Result<(), PartEnded> {
        let (key, result) = ended.map_err(|_| PartEnded::new("responder"))?;
        result?;
        let was_stopped = self.stop.is_cancelled()
            || self.queues.get(&key).is_none_or(|running| running.stop.is_cancelled());
        if !was_stopped {
            return Err(PartEnded::new("responder"));
        }
        if let Some(running) = self.queues.remove(&key) {
            self.shares.remove(running.id);
            self.served.remove(key.as_str());
            if !running.retiring && !self.stop.is_cancelled() {
                // The stream came back while its responder was stopping.
                let routes = Arc::clone(&self.setup.routes.borrow());
                self.apply(&routes);
            }
        }
        Ok(())
    }
}

/// The upstreams of `routes`. One that the file says nothing new of is kept, with its connections and its breaker.
fn upstreams_of<H>(setup: &Setup<H>, before: &Upstreams, routes: &Routes) -> Result<Upstreams, SetupError> {
    let mut upstreams = Upstreams::new();
    for (name, config) in &routes.upstreams {
        let kept = before.get(name).filter(|known| known.config == *config);
        let upstream = match kept {
            Some(known) => Arc::clone(known),
            None => {
                let metrics = metrics::with_local_recorder(&setup.recorder, || ForwardMetrics::declare(name));
                let tracer = setup.settings.tracer.clone();
                Arc::new(UpstreamState::new(Arc::clone(config), metrics, tracer)?)
            }
        };
        upstreams.insert(name.clone(), upstream);
    }
    Ok(upstreams)
}

/// The settings of the responder of `queue`.
fn settings_of(settings: &ResponderSettings, queue: &Queue) -> ResponderSettings {
    ResponderSettings {
        group: GroupSettings {
            stream: queue.key.clone(),
            group: queue.group.clone(),
            ..settings.group.clone()
        },
        handler_timeout: match queue.forwards() {
            true => UNTIL_DEADLINE,
            false => settings.handler_timeout,
        },
        request_timeout: settings.request_timeout.max(queue.timeout()),
        ..settings.clone()
    }
}
