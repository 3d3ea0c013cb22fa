use std::time::Duration;

use redis::Value;

use super::command::about_the_node;
use super::link::{Link, late};
use super::{Commands, Error, Redis};

/// A connection of one user who sends a pipeline, waits for its answers and then sends the next: the
/// writers of requests and of replies, and every blocking reader. The traffic of all others goes
/// through [`Redis`].
///
/// It connects when it is first used; a failure, or a call that is dropped, drops the socket.
pub struct DedicatedConnection {
    redis: Redis,
    patience: Duration,
    link: Option<Link>,
    has_connected: bool,
}

impl DedicatedConnection {
    /// A connection that waits as long for its answers as `redis` does.
    pub fn new(redis: Redis) -> Self {
        let patience = redis.settings().response_timeout;
        Self { redis, patience, link: None, has_connected: false }
    }

    /// One for commands that block up to `block`.
    pub(super) fn blocking(redis: Redis, block: Duration) -> Self {
        let patience = block + redis.settings().response_timeout;
        Self { redis, patience, link: None, has_connected: false }
    }

    /// Whose server it is.
    pub fn redis(&self) -> &Redis {
        &self.redis
    }

    /// Sends a pipeline and returns one value per command, in order; a command that failed has
    /// [`Value::ServerError`] in its place (see [`checked`](super::checked)). The circuit breaker
    /// learns how it went.
    ///
    /// # Errors
    /// Nothing is known of any of the commands: no connection, or no response in time.
    pub async fn pipeline(&mut self, commands: &Commands) -> Result<Vec<Value>, Error> {
        let reconnects = self.link.is_none() && self.has_connected;
        let result = self.exchange(commands).await;
        if reconnects && self.link.is_some() {
            self.redis.metrics().reconnects.increment(1);
        }
        let failed = match &result {
            Ok(values) => values.iter().any(|value| about_the_node(value).is_some()),
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
    pub(super) async fn exchange(&mut self, commands: &Commands) -> Result<Vec<Value>, Error> {
        // Taken out: whoever drops this future drops the socket with the answers that are due on it.
        let mut link = match self.link.take() {
            Some(link) => link,
            None => self.connect().await?,
        };
        let exchange = tokio::time::timeout(self.patience, link.exchange(commands));
        let values = exchange.await.map_err(|_| late("no response"))??;
        self.link = Some(link);
        Ok(values)
    }

    /// Drops the socket.
    pub(super) fn disconnect(&mut self) {
        self.link = None;
    }

    /// True if the next command needs no new socket.
    pub(super) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    async fn connect(&mut self) -> Result<Link, Error> {
        let link = Link::connect(self.redis.info(), self.redis.settings().connect_timeout).await?;
        self.has_connected = true;
        Ok(link)
    }
}
