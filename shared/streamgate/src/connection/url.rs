use std::fmt;
use std::str::FromStr;

use redis::{ConnectionInfo, IntoConnectionInfo};

/// A Redis URL whose password is never printed.
///
/// `redis://` or `rediss://` (TLS) with host, port, optional credentials and database;
/// `redis+unix://` or `unix://` with a socket path.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl RedisUrl {
    /// What the client library connects to.
    pub(super) fn info(&self) -> ConnectionInfo {
        self.0.clone()
    }
}

impl FromStr for RedisUrl {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.into_connection_info()
            .map(Self)
            .map_err(|_| "must be a URL such as redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix:///path/to/redis.sock")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.addr())?;
        match self.0.redis_settings().db() {
            0 => Ok(()),
            db => write!(f, "/{db}"),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let url: RedisUrl = "redis://alice:hunter2@example.org:6380/3".parse().expect("valid");

        let printed = format!("{url} {url:?}");

        assert!(printed.contains("example.org:6380/3"), "{printed}");
        assert!(!printed.contains("hunter2") && !printed.contains("alice"), "{printed}");
    }

    #[test]
    fn what_is_no_redis_url_is_refused_without_repeating_it() {
        for text in ["", "http://x", "redis//x", "hunter2"] {
            let rule = text.parse::<RedisUrl>().expect_err(text);
            assert!(!rule.contains("hunter2"));
        }
    }
}
