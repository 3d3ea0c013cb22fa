use redis::Value;

use super::{Error, Redis};

/// Memory of the server, by `INFO memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerMemory {
    /// Bytes in use.
    pub used: u64,
    /// `maxmemory`, in bytes; 0: no limit.
    pub limit: u64,
}

impl ServerMemory {
    /// Asks the server.
    ///
    /// # Errors
    /// The connection's or the server's, which may deny INFO to this user.
    pub async fn read(redis: &Redis) -> Result<Self, Error> {
        // Not the command connection: a user who may not ask must not cost it.
        let mut connection = redis.admin().get().await?;
        let text: String = redis::cmd("INFO").arg("memory").query_async(&mut connection).await?;
        let bytes = |name: &str| -> Option<u64> {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        match (bytes("used_memory"), bytes("maxmemory")) {
            (Some(used), Some(limit)) => Ok(Self { used, limit }),
            _ => Err(Error::unexpected("INFO memory", &Value::SimpleString(text))),
        }
    }
}
