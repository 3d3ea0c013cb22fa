use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::{Error, Redis};

/// Memory of the server, from `INFO memory`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerMemory {
    /// Bytes in use.
    pub used: u64,
    /// `maxmemory` in bytes; 0 means no limit.
    pub limit: u64,
    /// `maxmemory-policy`.
    pub policy: String,
}

impl ServerMemory {
    /// Asks the server; `None` if this user may not run INFO.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn read(redis: &Redis) -> Result<Option<Self>, Error> {
        let instead = "memory and eviction policy of the server are not known: its metrics stay 0";
        let info = redis.optional(redis::cmd("INFO").arg("memory"), "info", instead).await?;
        let Some(info) = info else { return Ok(None) };
        let text: String =
            redis::from_redis_value_ref(&info).map_err(|_| Error::unexpected("INFO memory", &info))?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let bytes = |name: &str| -> Option<u64> { line(name)?.trim().parse().ok() };
        match (bytes("used_memory"), bytes("maxmemory")) {
            (Some(used), Some(limit)) => {
                let policy = line("maxmemory_policy").unwrap_or_default().trim().to_owned();
                Ok(Some(Self { used, limit, policy }))
            }
            _ => Err(Error::unexpected("INFO memory", &Value::SimpleString(text))),
        }
    }

    /// True if the server deletes keys when its memory is full. A stream is one key, so all its requests would be lost
    /// at once, without an error.
    pub fn may_evict(&self) -> bool {
        self.limit > 0 && !self.policy.is_empty() && self.policy != "noeviction"
    }
}

/// Warns if the server may delete streams.
#[derive(Default)]
pub(super) struct Eviction {
    checked_at: Option<Instant>,
    may_evict: bool,
}

/// How often the policy is checked, because an administrator may change it.
const PERIOD: Duration = Duration::from_secs(15);

impl Eviction {
    /// If a check is due, reads the policy, sets the gauge, and warns when the server begins to evict.
    pub(super) async fn watch(&mut self, redis: &Redis) {
        if self.checked_at.is_some_and(|at| at.elapsed() < PERIOD) {
            return;
        }
        self.checked_at = Some(Instant::now());
        // The heartbeat reports errors of the connection.
        let Ok(Some(memory)) = ServerMemory::read(redis).await else { return };
        let may_evict = memory.may_evict();
        redis.metrics().may_evict.set(f64::from(u8::from(may_evict)));
        if may_evict && !self.may_evict {
            tracing::warn!(
                policy = memory.policy,
                "Redis deletes keys when its memory is full, and a stream is one key: requests can be lost. Set maxmemory-policy noeviction"
            );
        }
        self.may_evict = may_evict;
    }
}
