use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, ConnectionInfo, Pipeline, Value};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;

use super::admin_pool::AdminPool;
use super::denials::Denials;
use super::error::{Error, ErrorKind, checked};
use super::exclusive::{USER_TIMEOUT, keepalive};
use super::peer::{Peer, meet};
use super::server::KnownServer;
use super::{ConnectionMetrics, RedisUrl};
use crate::clock::ServerClock;
use crate::resilience::{Backoff, BreakerSettings, CircuitBreaker};

/// Where Redis is and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The server.
    pub url: RedisUrl,
    /// The longest wait for the response to a command.
    pub response_timeout: Duration,
    /// The longest wait for a connection, handshake included.
    pub connect_timeout: Duration,
    /// An error added to the server's clock, for tests of clock skew.
    pub clock_skew_ms: i64,
}

impl RedisSettings {
    /// One second to connect and one for each answer.
    pub fn new(url: RedisUrl) -> Self {
        let second = Duration::from_secs(1);
        Self { url, response_timeout: second, connect_timeout: second, clock_skew_ms: 0 }
    }
}

/// The handle of a process to its Redis server. Clones share everything.
#[derive(Clone)]
pub struct Redis(Arc<Shared>);

struct Shared {
    client: Client,
    settings: RedisSettings,
    circuit: CircuitBreaker,
    clock: Arc<ServerClock>,
    metrics: ConnectionMetrics,
    pool: AdminPool,
    round_trip: Mutex<Option<Duration>>,
    current: Mutex<Option<Current>>,
    /// Grows whenever the shared connection is dropped.
    generation: AtomicU64,
    /// The server that all connections of the process lead to.
    server: Arc<KnownServer>,
    /// Commands that the user may not run.
    denials: Denials,
    connecting: tokio::sync::Mutex<Connecting>,
    _heartbeat: DropGuard,
}

/// The shared connection. Its number tells a task with a broken connection whether another task has
/// already replaced it.
#[derive(Clone)]
struct Current {
    number: u64,
    connection: MultiplexedConnection,
}

struct Connecting {
    next_number: u64,
    backoff: Backoff,
    refused: Option<(Instant, Error)>,
}

impl Redis {
    /// The handle without its heartbeat. The heartbeat ends when `alive` is dropped.
    pub(super) fn new(
        settings: RedisSettings,
        metrics: ConnectionMetrics,
        alive: DropGuard,
    ) -> Result<Self, Error> {
        let info = tuned(settings.url.info());
        let server = Arc::new(KnownServer::default());
        let shared = Shared {
            client: Client::open(info.clone())?,
            circuit: CircuitBreaker::new(BreakerSettings::default()),
            clock: Arc::new(ServerClock::with_skew(settings.clock_skew_ms)),
            pool: AdminPool::new(info, &settings, Arc::clone(&server))?,
            metrics,
            settings,
            round_trip: Mutex::new(None),
            current: Mutex::new(None),
            generation: AtomicU64::new(0),
            server,
            denials: Denials::default(),
            connecting: tokio::sync::Mutex::new(Connecting {
                next_number: 0,
                backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(500)),
                refused: None,
            }),
            _heartbeat: alive,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Sends a pipeline and returns one value per command, in order; a command that failed has
    /// [`Value::ServerError`] in its place (see [`checked`]).
    ///
    /// # Errors
    /// There was no connection, or no response in time; it is unknown whether any command was executed. The
    /// connection is replaced before the next call.
    pub async fn pipeline(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Error> {
        let current = self.connection().await?;
        self.send(current, pipeline).await
    }

    async fn send(&self, mut current: Current, pipeline: &Pipeline) -> Result<Vec<Value>, Error> {
        let result = current.connection.send_packed_commands(pipeline, 0, pipeline.len()).await;
        match result {
            Ok(values) => {
                if self.blames_the_node(&values) {
                    self.discard(current.number);
                } else {
                    self.0.circuit.succeeded();
                }
                Ok(values)
            }
            Err(error) => {
                self.discard(current.number);
                Err(error.into())
            }
        }
    }

    /// Sends one command.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn command(&self, cmd: &Cmd) -> Result<Value, Error> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd.clone());
        match self.pipeline(&pipeline).await?.pop() {
            Some(value) => checked(value),
            None => Err(Error::new(ErrorKind::Refused, "no answer to a command")),
        }
    }

    /// True if `other` is a clone of this handle.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The circuit breaker that every command of this process reports to. The heartbeat is its
    /// probe, so no request is risked to close it again.
    pub fn circuit(&self) -> &CircuitBreaker {
        &self.0.circuit
    }

    /// The server's clock.
    pub fn clock(&self) -> &Arc<ServerClock> {
        &self.0.clock
    }

    /// The round trip of the last heartbeat; `None` while the server does not answer.
    pub fn round_trip(&self) -> Option<Duration> {
        *self.0.round_trip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connections for administrative work.
    pub(crate) fn admin(&self) -> &AdminPool {
        &self.0.pool
    }

    /// Sends one command on a connection for administrative work: no request waits behind it.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn admin_command(&self, cmd: &Cmd) -> Result<Value, Error> {
        self.0.pool.command(cmd).await
    }

    /// A connection of its own for Pub/Sub messages.
    ///
    /// # Errors
    /// No connection can be made.
    pub(crate) async fn pubsub(&self) -> Result<PubSub, Error> {
        let late = |_| Error::new(ErrorKind::Unreachable, "no connection in time");
        let connecting = self.0.client.get_async_pubsub();
        Ok(tokio::time::timeout(self.0.settings.connect_timeout, connecting).await.map_err(late)??)
    }

    /// The longest wait for the response to a command.
    pub(crate) fn response_timeout(&self) -> Duration {
        self.0.settings.response_timeout
    }

    /// The address and the credentials of its connections.
    pub(super) fn info(&self) -> &ConnectionInfo {
        self.0.client.get_connection_info()
    }

    pub(super) fn denials(&self) -> &Denials {
        &self.0.denials
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.0.settings
    }

    pub(super) fn metrics(&self) -> &ConnectionMetrics {
        &self.0.metrics
    }

    pub(super) fn set_round_trip(&self, round_trip: Option<Duration>) {
        *self.0.round_trip.lock().unwrap_or_else(PoisonError::into_inner) = round_trip;
    }

    pub(super) fn downgrade(&self) -> impl Fn() -> Option<Self> + Send + 'static {
        let weak = Arc::downgrade(&self.0);
        move || weak.upgrade().map(Self)
    }

    /// The shared connection, or a new one. If the last try to connect failed, callers get its error at once until
    /// the backoff has passed, instead of waiting for another try.
    async fn connection(&self) -> Result<Current, Error> {
        if let Some(current) = self.current() {
            return Ok(current);
        }
        let mut connecting = self.0.connecting.lock().await;
        if let Some(current) = self.current() {
            return Ok(current);
        }
        if let Some((until, error)) = &connecting.refused
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        let config = self.config(self.0.settings.response_timeout);
        match self.new_connection(&config).await {
            Ok((connection, peer)) => {
                if self.0.server.meet(peer.server) {
                    self.retire_connections();
                }
                let number = connecting.next_number;
                connecting.next_number += 1;
                connecting.backoff.reset();
                connecting.refused = None;
                if number > 0 {
                    self.0.metrics.reconnects.increment(1);
                }
                let current = Current { number, connection };
                *self.0.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(current.clone());
                Ok(current)
            }
            Err(error) => {
                self.0.circuit.failed();
                let until = Instant::now() + connecting.backoff.next_delay();
                connecting.refused = Some((until, error.clone()));
                Err(error)
            }
        }
    }

    /// Connects and asks the server for its identity and role. A replica is refused: its data may be old, and it takes
    /// no writes.
    async fn new_connection(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, Peer), Error> {
        let mut connection = self.0.client.get_multiplexed_async_connection_with_config(config).await?;
        let peer = meet(&mut connection).await?;
        Ok((connection, peer))
    }

    /// Makes sure that no connection made before now is used again.
    fn retire_connections(&self) {
        self.0.pool.retire();
        self.0.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The server that all connections lead to, and the number of the shared connection.
    ///
    /// # Errors
    /// The shared connection cannot be made.
    pub(super) async fn server(&self) -> Result<(u64, &KnownServer), Error> {
        Ok((self.connection().await?.number, &self.0.server))
    }

    /// Sends one command, unless the shared connection was dropped since `generation`: the command could reach another
    /// server. False if the command was not sent.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub(super) async fn command_in(&self, generation: u64, cmd: &Cmd) -> Result<bool, Error> {
        let current = self.connection().await?;
        if self.generation() != generation {
            return Ok(false);
        }
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add_command(cmd.clone());
        let answers = self.send(current, &pipeline).await?;
        answers.into_iter().try_for_each(|answer| checked(answer).map(drop))?;
        Ok(true)
    }

    /// True if an answer is an error of the node or the connection, not of its command. Denied commands are reported to
    /// the rehearsal.
    pub(super) fn blames_the_node(&self, values: &[Value]) -> bool {
        let mut blamed = false;
        for value in values {
            if let Value::ServerError(error) = value {
                let error = Error::from(error);
                blamed |= error.is_about_the_connection();
                self.note_denial(&error);
            }
        }
        blamed
    }

    fn current(&self) -> Option<Current> {
        self.0.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops connection `number`, unless another task has already replaced it. A half-open socket, or one to a demoted
    /// primary, would never work again.
    pub(super) fn discard(&self, number: u64) {
        self.0.circuit.failed();
        let mut current = self.0.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.number == number) {
            *current = None;
            self.retire_connections();
        }
    }

    /// Changes when the shared connection is dropped. Other connections to the same server may be broken as well.
    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    fn config(&self, response_timeout: Duration) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.0.settings.connect_timeout))
            .set_response_timeout(Some(response_timeout))
    }
}

/// Sets the same socket options as for the sockets of [`exclusive`](super::exclusive).
fn tuned(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = redis::io::tcp::TcpSettings::default().set_nodelay(true).set_keepalive(keepalive());
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(USER_TIMEOUT);
    info.set_tcp_settings(tcp)
}
