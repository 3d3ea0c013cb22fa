use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::RedisStream;
use super::xadd::{AppendError, AppendOptions, Outcome, write};
use crate::connection::{Commands, Error, ExclusiveConnection, RetryLog, checked};
use crate::fields::Fields;

/// Larger values are checked against the limits of the server, and sent over a connection of their own: no other entry
/// waits for them. No server has a smaller limit: it is the least that Redis accepts for `proto-max-bulk-len`.
const LARGE: usize = 1 << 20;

/// The limits of a server that does not say them: the defaults of Redis.
const USUAL_LIMITS: [(&str, u64); 2] = [(VALUE_LIMIT, 512 << 20), (COMMAND_LIMIT, 1 << 30)];

/// The setting that limits a value.
const VALUE_LIMIT: &str = "proto-max-bulk-len";

/// The setting that limits a command.
const COMMAND_LIMIT: &str = "client-query-buffer-limit";

/// Bytes for the rest of the command: its name, the key, options and the lengths of a few fields.
const HEAD: u64 = 4 << 10;

/// True if an entry must be sent alone, after a check of the server's limits.
pub(super) fn is_large(fields: &Fields) -> bool {
    fields.size() > LARGE
}

impl RedisStream {
    /// Appends an entry of megabytes. If the connection fails, it is sent again for up to `patience`.
    ///
    /// # Errors
    /// The server does not accept an entry of this size; nothing was sent.
    pub(super) async fn append_large(
        &self,
        fields: &Fields,
        options: &AppendOptions,
        patience: Duration,
    ) -> Result<Outcome, AppendError> {
        self.check_limits(fields).await?;
        let give_up_at = Instant::now() + patience;
        let mut outage = RetryLog::new("append");
        let mut commands = Commands::default();
        commands.command(|args| write(&self.key, fields, options, args));
        let mut connection = ExclusiveConnection::for_bytes(self.redis.clone(), commands.packed().len());
        let mut uncertain = false;
        loop {
            let answer = match connection.connect().await {
                Ok(()) => send(&mut connection, &commands, &mut uncertain).await,
                Err(error) => Err(error),
            };
            match answer {
                Err(error) if error.is_about_the_connection() => {
                    let pause = outage.failed(&error);
                    if Instant::now() + pause >= give_up_at {
                        return Ok(Outcome { answer: Err(error), uncertain });
                    }
                    tokio::time::sleep(pause).await;
                }
                answer => {
                    outage.healed();
                    return Ok(Outcome { answer, uncertain });
                }
            }
        }
    }

    async fn check_limits(&self, fields: &Fields) -> Result<(), AppendError> {
        let largest = fields.iter().map(|(name, value)| name.len().max(value.len())).max().unwrap_or(0);
        let whole = fields.size() as u64 + HEAD;
        for (setting, limit) in self.limits().await? {
            let bytes = if setting == VALUE_LIMIT { largest as u64 } else { whole };
            if bytes > limit {
                return Err(AppendError::TooLarge { bytes, limit, setting });
            }
        }
        Ok(())
    }

    async fn limits(&self) -> Result<[(&'static str, u64); 2], Error> {
        let mut cmd = redis::cmd("CONFIG");
        cmd.arg("GET").arg(VALUE_LIMIT).arg(COMMAND_LIMIT);
        let instead = "the server is taken to accept values of 512 MB, as it does by default";
        let Some(answer) = self.redis.optional(&cmd, "config|get", instead).await? else {
            return Ok(USUAL_LIMITS);
        };
        let found: Vec<(String, String)> = redis::from_redis_value(answer).unwrap_or_default();
        Ok(USUAL_LIMITS.map(|(setting, usual)| {
            let limit = found.iter().find(|(name, _)| name == setting).and_then(|(_, v)| v.parse().ok());
            (setting, limit.unwrap_or(usual))
        }))
    }
}

async fn send(
    connection: &mut ExclusiveConnection,
    commands: &Commands,
    uncertain: &mut bool,
) -> Result<Value, Error> {
    match connection.pipeline(commands).await {
        Ok(mut answers) => answers.pop().map_or_else(|| Err(Error::unexpected("XADD", &Value::Nil)), checked),
        Err(error) => {
            *uncertain = true;
            Err(error)
        }
    }
}
