//! Settings that several processes share; each process flattens them into its own.

use std::time::Duration;

use clap::Args;

use super::value::count;
use super::{ConfigError, HumanDuration};
use crate::logs::{LogFilter, LogFormat};
use streamgate::connection::{RedisSettings, RedisUrl};
use streamgate::stream::{ConsumerGroup, StreamKey};

/// The longest REQUEST_TIMEOUT: Redis keeps replies and reply lanes for a multiple of this time.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);

/// The largest CLOCK_SKEW in either direction, in milliseconds: the longest [`HumanDuration`].
const LARGEST_SKEW: i64 = HumanDuration::LONGEST.as_millis() as i64;

/// Where Redis is and how long to wait for it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct RedisArgs {
    /// Redis server: redis://, rediss:// (TLS) or unix://, with optional credentials and database
    #[arg(
        long,
        env = "REDIS_URL",
        default_value = "redis://127.0.0.1:6379",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub redis_url: RedisUrl,

    /// Longest wait for one response of Redis, a duration
    #[arg(long, env = "REDIS_RESPONSE_TIMEOUT", default_value = "1s", value_name = "DURATION")]
    pub redis_response_timeout: HumanDuration,

    /// Longest wait for a connection to Redis, a duration
    #[arg(long, env = "REDIS_CONNECT_TIMEOUT", default_value = "1s", value_name = "DURATION")]
    pub redis_connect_timeout: HumanDuration,

    /// Milliseconds added to the clock, for tests of clock skew
    #[arg(long, env = "CLOCK_SKEW", default_value_t = 0, hide = true, allow_negative_numbers = true, value_parser = count(-LARGEST_SKEW..=LARGEST_SKEW))]
    pub clock_skew: i64,
}

impl RedisArgs {
    /// These arguments as settings of the connection.
    pub fn settings(&self) -> RedisSettings {
        RedisSettings {
            url: self.redis_url.clone(),
            response_timeout: self.redis_response_timeout.0,
            connect_timeout: self.redis_connect_timeout.0,
            clock_skew_ms: self.clock_skew,
        }
    }

    /// Rules that hold for every process.
    ///
    /// # Errors
    /// A time limit is zero, or REDIS_URL uses TLS and no trusted certificate is found.
    pub fn validate(&self) -> Result<(), ConfigError> {
        longer_than_zero("REDIS_RESPONSE_TIMEOUT", self.redis_response_timeout)?;
        longer_than_zero("REDIS_CONNECT_TIMEOUT", self.redis_connect_timeout)?;
        self.validate_trust()
    }

    fn validate_trust(&self) -> Result<(), ConfigError> {
        let Err(reason) = self.redis_url.check_trust() else { return Ok(()) };
        let set = |name| std::env::var(name).ok().map(|value: String| (name, value));
        let (variable, value) = set("SSL_CERT_FILE")
            .or_else(|| set("SSL_CERT_DIR"))
            .unwrap_or_else(|| ("REDIS_URL", self.redis_url.to_string()));
        let rule = format!("must lead to trusted certificates, because REDIS_URL uses TLS: {reason}");
        Err(ConfigError::rule(variable, value, rule))
    }
}

/// The two streams, and how long a caller waits for a reply.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Streams")]
pub struct StreamArgs {
    /// Stream that requests go to
    #[arg(long, env = "REQUEST_STREAM", default_value = "weather-requests", value_name = "KEY")]
    pub request_stream: StreamKey,

    /// Stream that replies come from; a replica with a name has its own (its reply lane), REPLY_STREAM.NAME
    #[arg(long, env = "REPLY_STREAM", default_value = "weather-responses", value_name = "KEY")]
    pub reply_stream: StreamKey,

    /// How long a caller waits for the reply, a duration up to 10m
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "30s", value_name = "DURATION")]
    pub request_timeout: HumanDuration,
}

impl StreamArgs {
    /// Rules that hold for every process.
    ///
    /// # Errors
    /// The names of the streams conflict, or the timeout is out of its range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        longer_than_zero("REQUEST_TIMEOUT", self.request_timeout)?;
        if self.request_timeout.0 > LONGEST_TIMEOUT {
            let rule = format!("must be at most {}", HumanDuration(LONGEST_TIMEOUT));
            return Err(ConfigError::rule("REQUEST_TIMEOUT", self.request_timeout, rule));
        }
        // If the request stream had the name of a reply lane, ingress would trim and expire it.
        if self.reply_stream.is_or_has_lane(self.request_stream.as_str()) {
            let rule =
                format!("must be neither REPLY_STREAM={} nor start with it and a dot", self.reply_stream);
            return Err(ConfigError::rule("REQUEST_STREAM", &self.request_stream, rule));
        }
        if self.reply_stream == self.request_stream.dead_letters() {
            let rule = format!("must not be the stream for the dead letters of {}", self.request_stream);
            return Err(ConfigError::rule("REPLY_STREAM", &self.reply_stream, rule));
        }
        Ok(())
    }
}

/// The workers' consumer group.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Workers")]
pub struct GroupArgs {
    /// Consumer group of the workers
    #[arg(long, env = "CONSUMER_GROUP", default_value = "weather-workers", value_name = "NAME")]
    pub consumer_group: String,

    /// How long a worker may show no sign of life until it counts as dead, a duration
    #[arg(long, env = "CONSUMER_GRACE", default_value = "15s", value_name = "DURATION")]
    pub consumer_grace: HumanDuration,
}

impl GroupArgs {
    /// Rules that hold for every process.
    ///
    /// # Errors
    /// The name of the group is not allowed, or CONSUMER_GRACE is zero.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConsumerGroup::check_name(&self.consumer_group)
            .map_err(|rule| ConfigError::rule("CONSUMER_GROUP", &self.consumer_group, rule))?;
        longer_than_zero("CONSUMER_GRACE", self.consumer_grace)
    }
}

/// How a process ends, and what it logs.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessArgs {
    /// How long the process still takes new work after it reports "not ready", so that load balancers notice,
    /// a duration
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "0s", value_name = "DURATION")]
    pub shutdown_delay: HumanDuration,

    /// Longest time from the signal to the exit, SHUTDOWN_DELAY included, a duration
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "30s", value_name = "DURATION")]
    pub shutdown_grace: HumanDuration,

    /// Which log lines are written: error, warn, info, debug or trace, or levels by module
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log_filter: LogFilter,

    /// How log lines look: pretty for a person, or json for a collector
    #[arg(long, env = "LOG_FORMAT", default_value = "pretty", value_enum)]
    pub log_format: LogFormat,
}

impl ProcessArgs {
    /// Rules that hold for every process.
    ///
    /// # Errors
    /// The grace is zero, or the delay is not shorter than the grace.
    pub fn validate(&self) -> Result<(), ConfigError> {
        longer_than_zero("SHUTDOWN_GRACE", self.shutdown_grace)?;
        if self.shutdown_delay >= self.shutdown_grace {
            let rule = format!("must be shorter than SHUTDOWN_GRACE={}", self.shutdown_grace);
            return Err(ConfigError::rule("SHUTDOWN_DELAY", self.shutdown_delay, rule));
        }
        Ok(())
    }

    /// The time for draining: the grace without the delay and without the last steps.
    pub fn drain(&self) -> Duration {
        let left = self.shutdown_grace.0.saturating_sub(self.shutdown_delay.0);
        left - LAST_STEPS.min(left / 2)
    }
}

/// How long the shutdown steps after the last request may take.
const LAST_STEPS: Duration = Duration::from_secs(1);

/// Checks that a time limit is longer than zero.
///
/// # Errors
/// The time limit is zero.
pub(crate) fn longer_than_zero(variable: &str, limit: HumanDuration) -> Result<(), ConfigError> {
    if limit.0.is_zero() {
        return Err(ConfigError::rule(variable, limit, "must be longer than 0"));
    }
    Ok(())
}
