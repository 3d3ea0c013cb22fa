use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};
use tokio::time::Instant;

/// Redis by its command line: for the harness itself, past every link.
#[derive(Debug, Clone)]
pub struct Control(Client);

/// Longer than any fault: what is asked must be done, or nobody knows what was.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longer than all faults that can hold up a command, one after the other.
const INSISTENCE: Duration = Duration::from_secs(60);

impl Control {
    /// To the server at `url`.
    ///
    /// # Errors
    /// The URL cannot be used.
    pub fn new(url: &str) -> RedisResult<Self> {
        Ok(Self(Client::open(url)?))
    }

    /// A connection to keep.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        self.0.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Runs one command on a connection of its own.
    ///
    /// # Errors
    /// The server's or the connection's.
    pub async fn run<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        cmd.query_async(&mut self.connect().await?).await
    }

    /// Runs one command, given as words, until it succeeds: for healing, which other faults may hold up.
    ///
    /// # Errors
    /// It has not succeeded for a minute.
    pub async fn insist(&self, words: &[&str]) -> RedisResult<()> {
        let mut cmd = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            cmd.arg(*word);
        });
        let give_up = Instant::now() + INSISTENCE;
        while let Err(error) = self.run::<redis::Value>(&cmd).await {
            if Instant::now() > give_up {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }
}
