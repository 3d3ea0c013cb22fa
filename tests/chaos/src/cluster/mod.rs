//! The system under test: Redis, two gateways, three workers, a bad link from each to Redis, and
//! somebody who starts again what died, as an orchestrator would.

mod control;
mod place;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use streamgate::testing::{Link, RedisServer};
use tokio_util::task::AbortOnDropHandle;

pub use self::control::Control;
pub use self::place::Place;
use crate::history::{Recorder, Role};
use crate::setup::PASSWORD;

/// The system under test. It ends when this is dropped.
pub struct Cluster {
    places: Vec<Arc<Place>>,
    control: Control,
    redis: Arc<Mutex<RedisServer>>,
    _supervisors: Vec<AbortOnDropHandle<()>>,
}

/// Debug builds on a busy machine need a moment.
const START_PATIENCE: Duration = Duration::from_secs(60);

impl Cluster {
    /// Starts everything, with the binaries in `binaries` and logs in `folder`.
    ///
    /// # Errors
    /// A process does not get ready.
    pub async fn start(binaries: &Path, folder: &Path, recorder: &Recorder) -> anyhow::Result<Self> {
        let server = tokio::task::spawn_blocking(|| RedisServer::start_with(&REDIS_OPTIONS)).await?;
        let control = Control::new(&server.url())?;
        let (mut places, mut supervisors) = (Vec::new(), Vec::new());
        for (name, role) in PLACES {
            let binary = binaries.join(if role == Role::Ingress { "ingress" } else { "chaos-proxy" });
            if !binary.is_file() {
                bail!("{} is not there: cargo build -p ingress -p chaos", binary.display());
            }
            let place = Arc::new(Place::new(name, role, Link::to(&server), binary, folder));
            let supervised = Arc::clone(&place).supervise(recorder.clone());
            supervisors.push(AbortOnDropHandle::new(tokio::spawn(supervised)));
            places.push(place);
        }
        let redis = Arc::new(Mutex::new(server));
        let cluster = Self { places, control, redis, _supervisors: supervisors };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// Redis by its command line.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// The gateways.
    pub fn gateways(&self) -> Vec<&Arc<Place>> {
        self.of(Role::Ingress)
    }

    /// The workers.
    pub fn workers(&self) -> Vec<&Arc<Place>> {
        self.of(Role::Worker)
    }

    /// Gateways and workers.
    pub fn places(&self) -> &[Arc<Place>] {
        &self.places
    }

    /// What runs now: place in the history and process id.
    pub fn running(&self) -> Vec<(usize, u32)> {
        self.places.iter().filter_map(|place| place.current()).map(|it| (it.process, it.pid)).collect()
    }

    /// Where Redis listens.
    pub fn socket(&self) -> PathBuf {
        self.lock().socket()
    }

    /// Does something to the Redis server, off the runtime's threads.
    ///
    /// # Errors
    /// It panicked.
    pub async fn redis<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut RedisServer) -> T + Send + 'static,
    ) -> anyhow::Result<T> {
        let redis = Arc::clone(&self.redis);
        let acting = move || act(&mut redis.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(acting).await.context("the Redis server does not do as it is told")
    }

    async fn wait_until_ready(&self) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let started = Instant::now();
        for place in &self.places {
            while !place.is_ready(&client).await {
                if started.elapsed() > START_PATIENCE {
                    bail!("{} does not get ready; see its log", place.name());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn of(&self, role: Role) -> Vec<&Arc<Place>> {
        self.places.iter().filter(|place| place.role() == role).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, RedisServer> {
        self.redis.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first gateway has a lane of its own, the other one the plain reply stream.
const PLACES: [(&str, Role); 5] = [
    ("ingress-a", Role::Ingress),
    ("ingress-b", Role::Ingress),
    ("worker-1", Role::Worker),
    ("worker-2", Role::Worker),
    ("worker-3", Role::Worker),
];

const REDIS_OPTIONS: [&str; 10] = [
    "--save",
    "",
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--maxmemory-policy",
    "noeviction",
    "--requirepass",
    PASSWORD,
];
