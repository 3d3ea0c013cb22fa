use std::time::Duration;

use redis::Value;

use super::resp_socket::{RespSocket, late};
use super::{Commands, Decode, Decoder, LARGEST_PIPELINE};
use crate::connection::{Error, ErrorKind, Redis};

/// A connection with one user, which sends a pipeline, waits for its answers and then sends the next. The writers of
/// requests and of replies and every blocking reader have one. All other commands go through [`Redis`].
///
/// It connects when it is first used. If a call fails or is dropped, the socket is dropped.
pub struct ExclusiveConnection {
    redis: Redis,
    patience: Duration,
    socket: Option<RespSocket>,
    /// The generation of the process's connections in which the socket was made.
    generation: u64,
    has_connected: bool,
}

impl ExclusiveConnection {
    /// A connection with the response timeout of `redis`.
    pub fn new(redis: Redis) -> Self {
        let patience = redis.settings().response_timeout;
        Self::with_patience(redis, patience)
    }

    /// A connection for commands that block up to `block`.
    pub(super) fn blocking(redis: Redis, block: Duration) -> Self {
        let patience = block + redis.settings().response_timeout;
        Self::with_patience(redis, patience)
    }

    /// A connection for commands of up to `bytes`: the response timeout of `redis` is enough for
    /// [`LARGEST_PIPELINE`], and larger commands have as much time for each further part of this size.
    pub(crate) fn for_bytes(redis: Redis, bytes: usize) -> Self {
        let parts = u32::try_from(bytes / LARGEST_PIPELINE + 1).unwrap_or(u32::MAX);
        let patience = redis.settings().response_timeout.saturating_mul(parts);
        Self::with_patience(redis, patience)
    }

    fn with_patience(redis: Redis, patience: Duration) -> Self {
        Self { redis, patience, socket: None, generation: 0, has_connected: false }
    }

    /// The handle of the process.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Sends a pipeline and returns one value per command, in order; a command that failed has
    /// [`Value::ServerError`] in its place (see [`checked`](crate::connection::checked)). The result is reported to
    /// the circuit breaker.
    ///
    /// # Errors
    /// There was no connection, or no response in time; it is unknown whether any command was executed.
    pub async fn pipeline(&mut self, commands: &Commands) -> Result<Vec<Value>, Error> {
        let result = self.exchange(commands, &mut Decoder::default()).await;
        let failed = match &result {
            Ok(values) => self.redis.blames_the_node(values),
            Err(_) => true,
        };
        if failed {
            self.disconnect();
            self.redis.circuit().failed();
        } else {
            self.redis.circuit().succeeded();
        }
        result
    }

    /// Sends a pipeline without a report to the circuit breaker.
    pub(super) async fn exchange<D: Decode>(
        &mut self,
        commands: &Commands,
        decoder: &mut D,
    ) -> Result<Vec<D::Answer>, Error> {
        self.connect().await?;
        // Taken out, so that dropping this future also drops the socket with its unread answers.
        let Some(mut socket) = self.socket.take() else { return Err(late("no connection")) };
        let exchange = tokio::time::timeout(self.patience, socket.exchange(commands, decoder));
        let answers = exchange.await.map_err(|_| late("no response"))??;
        self.socket = Some(socket);
        Ok(answers)
    }

    /// Connects in advance, so that the first pipeline does not wait for it. If this fails, the first pipeline
    /// reports the error.
    pub async fn prepare(&mut self) {
        if let Err(error) = self.connect().await {
            tracing::debug!(%error, "not connected yet");
        }
    }

    /// Connects, unless there is a good connection: Redis has not closed it, and the process has not dropped its
    /// shared connection since. A new connection must lead to the same server as the shared connection. If it leads to
    /// another server, the address has moved: the shared connection is dropped, and the next one decides which server
    /// the process uses.
    ///
    /// # Errors
    /// No connection can be made.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        if self.redis.generation() != self.generation
            || self.socket.as_mut().is_some_and(RespSocket::is_stale)
        {
            self.socket = None;
        }
        if self.socket.is_none() {
            let (number, server) = self.redis.server().await?;
            self.generation = self.redis.generation();
            let socket =
                RespSocket::connect(self.redis.info(), self.redis.settings().connect_timeout).await?;
            if server.differs_from(socket.peer().server.as_deref()) {
                self.redis.discard(number);
                return Err(Error::new(ErrorKind::NotPrimary, "another server answers under this address"));
            }
            self.socket = Some(socket);
            if std::mem::replace(&mut self.has_connected, true) {
                self.redis.metrics().reconnects.increment(1);
            }
        }
        Ok(())
    }

    /// The generation and the server's number of the connection; `None` without a connection, or if the user may not
    /// ask for the number.
    pub(super) fn client_id(&self) -> Option<(u64, i64)> {
        Some((self.generation, self.socket.as_ref()?.peer().client_id?))
    }

    /// The identity of the server it leads to, if known.
    pub(super) fn server(&self) -> Option<&str> {
        self.socket.as_ref()?.peer().server.as_deref()
    }

    /// Drops the socket.
    pub(super) fn disconnect(&mut self) {
        self.socket = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_command_has_more_time_than_a_small_one() {
        let redis = Redis::builder().response_timeout(Duration::from_secs(2)).open().expect("opens");
        let patience = |bytes| ExclusiveConnection::for_bytes(redis.clone(), bytes).patience.as_secs();

        assert_eq!((patience(100), patience(5 << 20), patience(64 << 20)), (2, 4, 34));
    }
}
