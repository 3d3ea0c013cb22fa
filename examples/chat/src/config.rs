//! The settings of the process. Each has a flag, a variable and a default.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use service::config::value::{address, count};
use service::config::{ConfigError, HumanDuration, ProcessArgs, RedisArgs};
use service::http::ServerLimits;
use streamgate::stream::StreamKey;

use crate::keys::Keys;

/// Connections for senders, the page and probes, beside those of the clients' streams.
const OTHER_CONNECTIONS: usize = 1_000;

/// How long a caller may take to send the head of a request, and its body.
pub(crate) const REQUEST_PATIENCE: Duration = Duration::from_secs(10);

/// Chat for customers and admins over Server-Sent Events, on any number of replicas
#[derive(Clone, Parser)]
#[command(name = "chat", version)]
pub struct Settings {
    /// Address of the page, the API, metrics and probes
    #[arg(long, env = "CHAT_LISTEN", default_value = "127.0.0.1:5030", value_name = "ADDRESS", value_parser = address)]
    pub chat_listen: SocketAddr,

    /// Stream of the messages; all replicas of one chat have the same
    #[arg(long, env = "CHAT_STREAM", default_value = "chat-messages", value_name = "KEY")]
    pub chat_stream: StreamKey,

    /// Messages kept on the stream; older ones are deleted
    #[arg(long, env = "CHAT_KEPT", default_value = "50000", value_name = "COUNT", value_parser = count(1..=10_000_000u64))]
    pub chat_kept: u64,

    /// File of API keys, a line each: NAME:ROLE:SHA256 [default: none, no key is needed]
    #[arg(long, env = "CHAT_KEYS_FILE", value_name = "FILE")]
    pub chat_keys_file: Option<PathBuf>,

    /// Clients that may listen at the same time
    #[arg(long, env = "CHAT_MAX_CLIENTS", default_value = "10000", value_name = "COUNT", value_parser = count(1..=1_000_000usize))]
    pub chat_max_clients: usize,

    /// Messages that may wait for a slow client, before it is dropped
    #[arg(long, env = "CHAT_QUEUE", default_value = "1024", value_name = "COUNT", value_parser = count(1..=65_536usize))]
    pub chat_queue: usize,

    /// How long a client may take no byte of what waits for it, before it is cut off, a duration
    #[arg(long, env = "CHAT_WRITE_TIMEOUT", default_value = "30s", value_name = "DURATION")]
    pub chat_write_timeout: HumanDuration,

    /// Time between two heartbeats of a stream, a duration from 100ms to 30s
    #[arg(long, env = "CHAT_HEARTBEAT", default_value = "15s", value_name = "DURATION")]
    pub chat_heartbeat: HumanDuration,

    /// Shortest time after which a client comes back, a duration from 10ms to 1m; each is told up to twice as much
    #[arg(long, env = "CHAT_RETRY", default_value = "1s", value_name = "DURATION")]
    pub chat_retry: HumanDuration,

    /// Messages that one sender may send in a second
    #[arg(long, env = "CHAT_SEND_RATE", default_value = "5", value_name = "COUNT", value_parser = count(NonZeroU32::MIN..=LARGEST))]
    pub chat_send_rate: NonZeroU32,

    /// Messages that one sender may send at once after a pause
    #[arg(long, env = "CHAT_SEND_BURST", default_value = "20", value_name = "COUNT", value_parser = count(NonZeroU32::MIN..=LARGEST))]
    pub chat_send_burst: NonZeroU32,

    /// Threads that serve requests
    #[arg(long, env = "CHAT_THREADS", default_value = "2", value_name = "COUNT", value_parser = count(1..=256usize))]
    pub chat_threads: usize,

    /// Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// The largest CHAT_SEND_RATE and CHAT_SEND_BURST.
const LARGEST: NonZeroU32 = NonZeroU32::new(1_000_000).expect("not zero");

impl service::config::Settings for Settings {
    fn validate(&self) -> Result<(), ConfigError> {
        self.redis.validate()?;
        self.process.validate()?;
        let between = |variable, value: HumanDuration, least, most: u64| {
            let range = Duration::from_millis(least)..=Duration::from_millis(most);
            if range.contains(&value.0) {
                return Ok(());
            }
            let [least, most] = [*range.start(), *range.end()].map(HumanDuration);
            Err(ConfigError::rule(variable, value, format!("must be from {least} to {most}")))
        };
        between("CHAT_HEARTBEAT", self.chat_heartbeat, 100, 30_000)?;
        between("CHAT_RETRY", self.chat_retry, 10, 60_000)?;
        between("CHAT_WRITE_TIMEOUT", self.chat_write_timeout, 100, 600_000)?;
        self.typing()?;
        self.keys().map(|_| ())
    }
}

impl Settings {
    /// The API keys; `None` if none is needed.
    pub(crate) fn keys(&self) -> Result<Option<Keys>, ConfigError> {
        self.chat_keys_file.as_deref().map(Keys::read).transpose()
    }

    /// The name of the Pub/Sub channel that tells who is typing.
    pub(crate) fn typing(&self) -> Result<StreamKey, ConfigError> {
        let name = format!("{}:typing", self.chat_stream);
        name.parse().map_err(|rule| ConfigError::rule("CHAT_STREAM", &self.chat_stream, rule))
    }

    pub(crate) fn server(&self) -> ServerLimits {
        ServerLimits {
            connections: self.chat_max_clients + OTHER_CONNECTIONS,
            header_timeout: REQUEST_PATIENCE,
            write_timeout: self.chat_write_timeout.0,
            drain: self.process.drain(),
        }
    }
}
