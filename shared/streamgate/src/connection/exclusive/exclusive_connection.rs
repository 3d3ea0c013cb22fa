use std::time::Duration;

use redis::Value;

use super::resp_socket::{RespSocket, late};
use super::{Commands, Decode, Decoder};
use crate::connection::{Error, ErrorKind, Redis};

/// A connection of one user who sends a pipeline, waits for its answers and then sends the next: the
/// writers of requests and of replies, and every blocking reader. The traffic of all others goes
/// through [`Redis`].
///
/// It connects when it is first used; a failure, or a call that is dropped, drops the socket.
pub struct ExclusiveConnection {
    redis: Redis,
    patience: Duration,
    socket: Option<RespSocket>,
    /// Which of the process's shared connections was there when the socket was made.
    generation: u64,
    has_connected: bool,
}

impl ExclusiveConnection {
    /// A connection that waits as long for its answers as `redis` does.
    pub fn new(redis: Redis) -> Self {
        let patience = redis.settings().response_timeout;
        Self::with_patience(redis, patience)
    }

    /// One for commands that block up to `block`.
    pub(super) fn blocking(redis: Redis, block: Duration) -> Self {
        let patience = block + redis.settings().response_timeout;
        Self::with_patience(redis, patience)
    }

    fn with_patience(redis: Redis, patience: Duration) -> Self {
        Self { redis, patience, socket: None, generation: 0, has_connected: false }
    }

    /// Whose server it is.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Sends a pipeline and returns one value per command, in order; a command that failed has
    /// [`Value::ServerError`] in its place (see [`checked`](crate::connection::checked)). The circuit breaker
    /// learns how it went.
    ///
    /// # Errors
    /// Nothing is known of any of the commands: no connection, or no response in time.
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

    /// Sends a pipeline; nobody but the caller learns how it went.
    pub(super) async fn exchange<D: Decode>(
        &mut self,
        commands: &Commands,
        decoder: &mut D,
    ) -> Result<Vec<D::Answer>, Error> {
        self.connect().await?;
        // Taken out: whoever drops this future drops the socket with the answers that are due on it.
        let Some(mut socket) = self.socket.take() else { return Err(late("no connection")) };
        let exchange = tokio::time::timeout(self.patience, socket.exchange(commands, decoder));
        let answers = exchange.await.map_err(|_| late("no response"))??;
        self.socket = Some(socket);
        Ok(answers)
    }

    /// Connects before there is something to send, so that the first to send does not wait for it. If that
    /// fails, the first to send will say so.
    pub async fn prepare(&mut self) {
        if let Err(error) = self.connect().await {
            tracing::debug!(%error, "not connected yet");
        }
    }

    /// Connects unless there is a good connection: one that Redis has not closed meanwhile, to a server
    /// of which nobody in this process has learned since that it is gone. A new one must lead to the server
    /// that the whole process speaks to; if it leads elsewhere, the name of the server has moved, and the
    /// process finds out which one is right by connecting anew.
    ///
    /// # Errors
    /// There is none to be had.
    pub(super) async fn connect(&mut self) -> Result<(), Error> {
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

    /// What Redis calls the connection, if there is one and its user may know, and the generation of the
    /// process's connections that it belongs to.
    pub(super) fn client_id(&self) -> Option<(u64, i64)> {
        Some((self.generation, self.socket.as_ref()?.peer().client_id?))
    }

    /// The server it leads to, if that tells who it is.
    pub(super) fn server(&self) -> Option<&str> {
        self.socket.as_ref()?.peer().server.as_deref()
    }

    /// Drops the socket.
    pub(super) fn disconnect(&mut self) {
        self.socket = None;
    }
}
