use std::fmt;
use std::io;
use std::str::FromStr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, parse_redis_url};
use tokio_rustls::rustls::pki_types::ServerName;

use super::exclusive;

/// A Redis URL whose password is never printed.
///
/// `redis://` or `rediss://` (TLS) with host, port, optional credentials and database;
/// `redis+unix://` or `unix://` with a socket path.
#[derive(Clone)]
pub struct RedisUrl(ConnectionInfo);

impl RedisUrl {
    /// Fails if the URL asks for TLS and this machine has no trusted certificates.
    pub fn check_trust(&self) -> io::Result<()> {
        match self.0.addr() {
            ConnectionAddr::TcpTls { .. } => exclusive::check_trust(),
            _ => Ok(()),
        }
    }

    /// The address and the credentials, for the client library.
    pub(super) fn info(&self) -> ConnectionInfo {
        self.0.clone()
    }
}

impl FromStr for RedisUrl {
    type Err = &'static str;

    /// The client library accepts URLs that this gateway can never connect with, and ignores parts
    /// that it does not know. This refuses both. The error names the rule and repeats no part of the URL, which may
    /// contain a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = parse_redis_url(text).ok_or(FORM)?;
        let info = url.clone().into_connection_info().map_err(|_| FORM)?;
        if url.fragment() == Some("insecure") {
            return Err(
                "must not end with #insecure: a server whose certificate is not verified may be anybody",
            );
        }
        if url.fragment().is_some() {
            return Err("must have no part behind a #; in a password, write %23");
        }
        let is_socket = matches!(info.addr(), ConnectionAddr::Unix(_));
        if url.query_pairs().any(|(name, value)| !is_understood(&name, &value, is_socket)) {
            return Err(if is_socket {
                SOCKET_QUERY
            } else {
                "must have no part behind a ?; in a password, write %3F"
            });
        }
        if info.redis_settings().username().is_some() && info.redis_settings().password().is_none() {
            return Err("must have a password if it has a user, as in redis://user:password@host");
        }
        if info.redis_settings().db() < 0 {
            return Err("must have a database number of at least 0");
        }
        check_address(info.addr())?;
        Ok(Self(info))
    }
}

const FORM: &str = "must be a URL such as redis://127.0.0.1:6379, rediss://user:password@host:6380/0 or unix:///path/to/redis.sock";
const SOCKET_QUERY: &str =
    "must have no part behind a ? but db, user and pass, as in unix:///path?db=1&user=name&pass=secret";

/// The longest path of a Unix socket: 108 bytes including the zero at its end (unix(7)).
const LONGEST_PATH: usize = 107;

/// True if this gateway supports the parameter. Its connections use RESP2 only.
fn is_understood(name: &str, value: &str, is_socket: bool) -> bool {
    match name {
        "protocol" => matches!(value, "2" | "resp2"),
        "db" | "user" | "pass" => is_socket,
        _ => false,
    }
}

fn check_address(addr: &ConnectionAddr) -> Result<(), &'static str> {
    match addr {
        ConnectionAddr::Tcp(_, 0) | ConnectionAddr::TcpTls { port: 0, .. } => {
            Err("must have a port from 1 to 65535")
        }
        ConnectionAddr::TcpTls { host, .. } if ServerName::try_from(host.as_str()).is_err() => {
            Err("must have a host that a certificate can name: a DNS name or an IP address")
        }
        ConnectionAddr::Unix(path) if path.as_os_str().len() > LONGEST_PATH => {
            Err("must have a path of at most 107 bytes: the system allows no longer path for a socket")
        }
        ConnectionAddr::Unix(path) if path.file_name().is_none() => {
            Err("must have the path of a socket, as in unix:///path/to/redis.sock")
        }
        _ => Ok(()),
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
    fn a_url_that_can_never_connect_is_refused_with_the_rule() {
        let long_path = format!("unix:///{}", "x".repeat(107));
        for (text, rule) in [
            ("", "must be a URL such as"),
            ("hunter2", "must be a URL such as"),
            ("http://x", "must be a URL such as"),
            ("redis//x", "must be a URL such as"),
            ("redis://", "must be a URL such as"),
            ("redis://:6379", "must be a URL such as"),
            ("redis://:hunter2@", "must be a URL such as"),
            ("redis://0.0.0.0:6379", "must be a URL such as"),
            ("redis://h:70000", "must be a URL such as"),
            ("redis://h:port", "must be a URL such as"),
            ("redis://h/first", "must be a URL such as"),
            ("redis://h/0/1", "must be a URL such as"),
            ("redis://h/99999999999999999999", "must be a URL such as"),
            ("redis+sentinel://h:26379/primary", "must be a URL such as"),
            ("redis-cluster://h:6379", "must be a URL such as"),
            ("redis://:hunter2@h?protocol=4", "must be a URL such as"),
            ("unix:///tmp/s?db=first", "must be a URL such as"),
            ("redis://h:0", "must have a port from 1 to 65535"),
            ("rediss://h:0", "must have a port from 1 to 65535"),
            ("redis://h/-1", "must have a database number of at least 0"),
            ("unix:///tmp/s?db=-1", "must have a database number of at least 0"),
            ("rediss://:hunter2@h:6380/#insecure", "must not end with #insecure"),
            ("rediss://h:6380#insecure", "must not end with #insecure"),
            ("redis://h#insecure", "must not end with #insecure"),
            ("redis://h#part", "must have no part behind a #"),
            ("redis://h#", "must have no part behind a #"),
            ("unix:///tmp/s#part", "must have no part behind a #"),
            ("redis://:hunter2@h?protocol=resp3", "must have no part behind a ?"),
            ("redis://h?protocol=3", "must have no part behind a ?"),
            ("redis://h?db=1", "must have no part behind a ?"),
            ("redis://h?timeout=1s", "must have no part behind a ?"),
            (
                "unix:///tmp/s?pass=hunter2&protocol=resp3",
                "must have no part behind a ? but db, user and pass",
            ),
            ("unix:///tmp/s?password=hunter2", "must have no part behind a ? but db, user and pass"),
            ("redis://alice@h", "must have a password if it has a user"),
            ("redis://alice:@h", "must have a password if it has a user"),
            ("unix:///tmp/s?user=alice", "must have a password if it has a user"),
            ("rediss://-h-:6380", "must have a host that a certificate can name"),
            ("rediss://a..b:6380", "must have a host that a certificate can name"),
            ("unix://", "must be a URL such as"),
            ("unix:///", "must have the path of a socket"),
            ("unix:///..", "must have the path of a socket"),
            (&long_path, "must have a path of at most 107 bytes"),
        ] {
            let refusal = text.parse::<RedisUrl>().expect_err(text);
            assert!(refusal.starts_with(rule), "{text}: {refusal}");
            assert!(!refusal.contains("hunter2"), "{refusal}");
        }
    }

    #[test]
    fn a_url_that_can_connect_is_accepted() {
        let longest_path = format!("unix:///{}", "x".repeat(106));
        for text in [
            "redis://h",
            "redis://h:6379/",
            "redis://:hunter2@h:6379/15",
            "redis://alice:a%23b%3Fc@[::1]:6379/1",
            "redis://redis_1:6379?protocol=resp2",
            "valkey://h",
            "valkeys://h:6380",
            "rediss://10.0.0.1:6380",
            "rediss://[::1]:6380",
            "rediss://redis_1.example.org",
            "unix:///tmp/s",
            "redis+unix:///tmp/s?db=1&user=alice&pass=hunter2",
            "valkey+unix:///tmp/s?protocol=2",
            &longest_path,
        ] {
            assert!(text.parse::<RedisUrl>().is_ok(), "{text}");
        }
    }
}
