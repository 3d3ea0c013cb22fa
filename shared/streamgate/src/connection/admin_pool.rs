//! Connections for rare work: health, statistics, dead-letter administration.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_redis::{Connection, Hook, HookError, Manager, Pool, Runtime, Timeouts};
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Value};
use tokio::time::Instant;

use super::client::RedisSettings;
use super::error::{Error, ErrorKind};
use super::peer::meet;
use super::server::KnownServer;

/// Few connections, all to the server that the whole process speaks to.
pub(crate) struct AdminPool {
    pool: Pool,
    /// Older connections are not used again.
    retired: Arc<Mutex<Instant>>,
}

const MOST_CONNECTIONS: usize = 4;

impl AdminPool {
    /// A pool without a connection yet.
    pub(super) fn new(
        info: ConnectionInfo,
        settings: &RedisSettings,
        server: Arc<KnownServer>,
    ) -> Result<Self, Error> {
        let retired = Arc::new(Mutex::new(Instant::now()));
        let oldest = Arc::clone(&retired);
        let patience = Some(settings.connect_timeout + settings.response_timeout);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.connect_timeout))
            .set_response_timeout(Some(settings.response_timeout));
        let pool = Pool::builder(Manager::new_with_config(info, config)?)
            .max_size(MOST_CONNECTIONS)
            .post_create(Hook::async_fn(move |connection, _| {
                let server = Arc::clone(&server);
                Box::pin(async move {
                    let peer =
                        meet(connection).await.map_err(|error| HookError::message(error.to_string()))?;
                    match server.differs_from(peer.server.as_deref()) {
                        true => Err(HookError::message("another server answers under this address")),
                        false => Ok(()),
                    }
                })
            }))
            .pre_recycle(Hook::sync_fn(move |_, metrics| {
                let oldest = oldest.lock().unwrap_or_else(PoisonError::into_inner).into_std();
                match metrics.created < oldest {
                    true => Err(HookError::message("the server changed")),
                    false => Ok(()),
                }
            }))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts { wait: patience, create: patience, recycle: patience })
            .build()
            .map_err(|error| Error::new(ErrorKind::Refused, error.to_string()))?;
        Ok(Self { pool, retired })
    }

    /// A connection; it goes back to the pool when it is dropped.
    pub(crate) async fn get(&self) -> Result<Connection, Error> {
        Ok(self.pool.get().await?)
    }

    /// Sends one command. If the connection failed or led to the wrong node, it is not used again.
    pub(super) async fn command(&self, cmd: &Cmd) -> Result<Value, Error> {
        let mut connection = self.get().await?;
        let result = cmd.query_async(&mut connection).await.map_err(Error::from);
        if result.as_ref().is_err_and(Error::is_about_the_connection) {
            drop(Connection::take(connection));
        }
        result
    }

    /// Makes sure that no connection made before now is used again.
    pub(super) fn retire(&self) {
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.pool.retain(|_, _| false);
    }
}
