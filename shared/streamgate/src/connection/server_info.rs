//! What the server says of itself, in the answers to INFO.

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

/// What the server says of itself, from `INFO`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its version; a Valkey server gives the version of Redis that it is compatible with.
    pub version: String,
    /// How long it has been running.
    pub uptime: Duration,
    /// Connected clients, without replicas.
    pub clients: u64,
    /// Bytes of memory in use.
    pub memory: u64,
    /// Commands that it has processed since its start.
    pub commands: u64,
}

impl ServerInfo {
    /// Asks the server.
    ///
    /// # Errors
    /// The connection failed, or the user may not run INFO.
    pub async fn read(redis: &Redis) -> Result<Self, Error> {
        let info = redis.admin_command(redis::cmd("INFO").arg("everything")).await?;
        let text: String =
            redis::from_redis_value(info).map_err(|_| Error::unexpected("INFO", &Value::Nil))?;
        let line = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
                .trim()
        };
        let number = |name| line(name).parse().unwrap_or(0);
        Ok(Self {
            version: line("redis_version").to_owned(),
            uptime: Duration::from_secs(number("uptime_in_seconds")),
            clients: number("connected_clients"),
            memory: number("used_memory"),
            commands: number("total_commands_processed"),
        })
    }
}

impl Redis {
    /// Sends a command that does nothing, and returns how long its answer took.
    ///
    /// # Errors
    /// The connection failed, or no answer came in time.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let sent = tokio::time::Instant::now();
        self.admin_command(&redis::cmd("PING")).await?;
        Ok(sent.elapsed())
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
