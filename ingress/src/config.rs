//! Every setting of the process: a flag, a variable and a default each, checked as a whole
//! before a port is bound.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use streamgate::config::{ConfigError, Span};
use streamgate::connection::{RedisSettings, RedisUrl};
use streamgate::request_reply::RequesterSettings;
use streamgate::stream::StreamKey;
use streamgate::telemetry::LogFormat;

/// The longest REQUEST_TIMEOUT: replies and lanes are kept in Redis for a multiple of it.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(600);
/// The largest BODY_LIMIT: bodies travel through Redis, which is no place for files.
const LARGEST_BODY: u64 = 16 << 20;

/// HTTP in, request on a Redis stream, reply back out.
#[derive(Clone, Parser)]
#[command(name = "ingress", version)]
pub struct Settings {
    /// Redis server: redis://, rediss:// (TLS) or redis+unix://, with optional credentials and database
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: RedisUrl,

    /// Longest wait for one answer of Redis, a duration
    #[arg(long, env = "REDIS_RESPONSE_TIMEOUT", default_value = "1s", value_name = "DURATION")]
    pub redis_response_timeout: Span,

    /// Longest wait for a connection to Redis, a duration
    #[arg(long, env = "REDIS_CONNECT_TIMEOUT", default_value = "1s", value_name = "DURATION")]
    pub redis_connect_timeout: Span,

    /// Address and port of the public API
    #[arg(long, env = "INGRESS_LISTEN", default_value = "0.0.0.0:5009", value_name = "ADDRESS", value_parser = address)]
    pub ingress_listen: SocketAddr,

    /// Address and port of metrics and probes
    #[arg(long, env = "INGRESS_ADMIN_LISTEN", default_value = "0.0.0.0:9009", value_name = "ADDRESS", value_parser = address)]
    pub ingress_admin_listen: SocketAddr,

    /// Name of this replica, 1 to 64 of A-Z a-z 0-9 . _ - (a pod's name); gives it a reply stream
    /// of its own, REPLY_STREAM.<name> [default: none, REPLY_STREAM itself]
    #[arg(long, env = "INGRESS_REPLICA", value_name = "NAME", value_parser = replica)]
    pub ingress_replica: Option<String>,

    /// Threads that serve requests, 1 to 256; 1 has the lowest latency
    #[arg(long, env = "INGRESS_THREADS", default_value_t = 1, value_name = "COUNT", value_parser = threads)]
    pub ingress_threads: usize,

    /// Stream that requests go to
    #[arg(long, env = "REQUEST_STREAM", default_value = "weather-requests", value_name = "KEY")]
    pub request_stream: StreamKey,

    /// Stream that replies come from
    #[arg(long, env = "REPLY_STREAM", default_value = "weather-responses", value_name = "KEY")]
    pub reply_stream: StreamKey,

    /// How long a caller waits for the reply before 504, a duration up to 10m
    #[arg(long, env = "REQUEST_TIMEOUT", default_value = "30s", value_name = "DURATION")]
    pub request_timeout: Span,

    /// Callers that may wait for a reply at once; more are answered 503
    #[arg(long, env = "MAX_IN_FLIGHT", default_value_t = 10_000, value_name = "COUNT")]
    pub max_in_flight: usize,

    /// Connections served at once; more wait in the accept queue of the system
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 8_192, value_name = "COUNT")]
    pub max_connections: usize,

    /// Largest request body, in bytes, up to 16777216; more is answered 413
    #[arg(long, env = "BODY_LIMIT", default_value_t = 65_536, value_name = "BYTES")]
    pub body_limit: u64,

    /// Longest wait for the first request on a connection, and for the body of each, a duration
    #[arg(long, env = "HEADER_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub header_timeout: Span,

    /// How long a connection may idle between two requests, a duration
    #[arg(long, env = "IDLE_TIMEOUT", default_value = "75s", value_name = "DURATION")]
    pub idle_timeout: Span,

    /// Pause between "not ready" and closing the listener, so that load balancers notice, a duration
    #[arg(long, env = "SHUTDOWN_DELAY", default_value = "0s", value_name = "DURATION")]
    pub shutdown_delay: Span,

    /// Longest time from the signal to the exit, SHUTDOWN_DELAY included, a duration
    #[arg(long, env = "SHUTDOWN_GRACE", default_value = "30s", value_name = "DURATION")]
    pub shutdown_grace: Span,

    /// How log lines look; RUST_LOG filters them
    #[arg(long, env = "LOG_FORMAT", default_value = "pretty", value_enum)]
    pub log_format: LogFormat,

    /// Milliseconds added to the clock on purpose, for tests of clock skew
    #[arg(long, env = "CLOCK_SKEW", default_value_t = 0, hide = true, allow_negative_numbers = true)]
    pub clock_skew: i64,
}

impl streamgate::config::Settings for Settings {
    fn validate(&self) -> Result<(), ConfigError> {
        self.validate_spans()?;
        if self.max_in_flight == 0 {
            return Err(ConfigError::rule("MAX_IN_FLIGHT", 0, "must be at least 1"));
        }
        if self.max_connections == 0 {
            return Err(ConfigError::rule("MAX_CONNECTIONS", 0, "must be at least 1"));
        }
        if !(1..=LARGEST_BODY).contains(&self.body_limit) {
            let rule = format!("must be from 1 to {LARGEST_BODY} bytes");
            return Err(ConfigError::rule("BODY_LIMIT", self.body_limit, rule));
        }
        if self.ingress_listen.port() != 0 && self.ingress_listen == self.ingress_admin_listen {
            let rule = format!("must differ from INGRESS_LISTEN={}", self.ingress_listen);
            return Err(ConfigError::rule("INGRESS_ADMIN_LISTEN", self.ingress_admin_listen, rule));
        }
        self.validate_streams()
    }
}

impl Settings {
    /// Where Redis is, as the engine wants to know it.
    pub fn redis(&self) -> RedisSettings {
        RedisSettings {
            url: self.redis_url.clone(),
            response_timeout: self.redis_response_timeout.0,
            connect_timeout: self.redis_connect_timeout.0,
            clock_skew_ms: self.clock_skew,
        }
    }

    /// How requests are sent, as the engine wants to know it.
    pub fn requester(&self) -> RequesterSettings {
        RequesterSettings {
            request_stream: self.request_stream.clone(),
            reply_stream: self.reply_stream.clone(),
            replica: self.ingress_replica.clone(),
            max_in_flight: self.max_in_flight,
            longest_timeout: self.request_timeout.0,
        }
    }

    fn validate_spans(&self) -> Result<(), ConfigError> {
        for (variable, span) in [
            ("REQUEST_TIMEOUT", self.request_timeout),
            ("REDIS_RESPONSE_TIMEOUT", self.redis_response_timeout),
            ("REDIS_CONNECT_TIMEOUT", self.redis_connect_timeout),
            ("HEADER_TIMEOUT", self.header_timeout),
            ("IDLE_TIMEOUT", self.idle_timeout),
            ("SHUTDOWN_GRACE", self.shutdown_grace),
        ] {
            if span.0.is_zero() {
                return Err(ConfigError::rule(variable, span, "must be longer than 0"));
            }
        }
        if self.request_timeout.0 > LONGEST_TIMEOUT {
            let rule = format!("must be at most {}", Span(LONGEST_TIMEOUT));
            return Err(ConfigError::rule("REQUEST_TIMEOUT", self.request_timeout, rule));
        }
        if self.shutdown_delay >= self.shutdown_grace {
            let rule = format!("must be shorter than SHUTDOWN_GRACE={}", self.shutdown_grace);
            return Err(ConfigError::rule("SHUTDOWN_DELAY", self.shutdown_delay, rule));
        }
        Ok(())
    }

    /// A request stream among the reply lanes would be trimmed and expired as one.
    fn validate_streams(&self) -> Result<(), ConfigError> {
        if self.reply_stream.is_or_has_lane(self.request_stream.as_str()) {
            let rule =
                format!("must be neither REPLY_STREAM={} nor start with it and a dot", self.reply_stream);
            return Err(ConfigError::rule("REQUEST_STREAM", &self.request_stream, rule));
        }
        if self.reply_stream == self.request_stream.dead_letters() {
            let rule = format!("must not be where dead letters of {} go", self.request_stream);
            return Err(ConfigError::rule("REPLY_STREAM", &self.reply_stream, rule));
        }
        if let Some(replica) = &self.ingress_replica {
            self.reply_stream.lane(replica).map_err(|rule| {
                ConfigError::rule("REPLY_STREAM", &self.reply_stream, format!("with INGRESS_REPLICA {rule}"))
            })?;
        }
        Ok(())
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an address with a port, such as 0.0.0.0:5009 or [::]:5009".to_owned())
}

fn replica(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned())
}

fn threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| (1..=256).contains(count))
        .ok_or_else(|| "must be a number of threads from 1 to 256".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use streamgate::config::{Refusal, from_args};

    use super::*;

    fn message(flags: &[&str]) -> String {
        match from_args::<Settings>(std::iter::once("ingress").chain(flags.iter().copied())) {
            Err(Refusal::Invalid(error)) => error.to_string(),
            Err(Refusal::Help(_)) => panic!("{flags:?} asked for help"),
            Ok(_) => panic!("{flags:?} was accepted"),
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        let settings = from_args::<Settings>(["ingress"]).map_err(|_| "refused").expect("valid");

        assert_eq!(settings.ingress_listen.port(), 5009);
        assert_eq!(settings.requester().reply_stream.as_str(), "weather-responses");
    }

    #[test]
    fn every_broken_rule_names_variable_value_and_rule() {
        for (flags, expected) in [
            (&["--request-timeout", "0s"][..], "REQUEST_TIMEOUT=0s must be longer than 0"),
            (&["--request-timeout", "11m"], "REQUEST_TIMEOUT=11m must be at most 10m"),
            (&["--header-timeout", "0s"], "HEADER_TIMEOUT=0s must be longer than 0"),
            (&["--max-in-flight", "0"], "MAX_IN_FLIGHT=0 must be at least 1"),
            (&["--max-connections", "0"], "MAX_CONNECTIONS=0 must be at least 1"),
            (&["--body-limit", "0"], "BODY_LIMIT=0 must be from 1 to 16777216 bytes"),
            (&["--body-limit", "16777217"], "BODY_LIMIT=16777217 must be from 1 to 16777216 bytes"),
            (&["--ingress-threads", "0"], "INGRESS_THREADS=0 must be a number of threads from 1 to 256"),
            (
                &["--ingress-listen", "5009"],
                "INGRESS_LISTEN=5009 must be an address with a port, such as 0.0.0.0:5009 or [::]:5009",
            ),
            (
                &["--ingress-admin-listen", "0.0.0.0:5009"],
                "INGRESS_ADMIN_LISTEN=0.0.0.0:5009 must differ from INGRESS_LISTEN=0.0.0.0:5009",
            ),
            (
                &["--ingress-replica", "a b"],
                "INGRESS_REPLICA=a b must be 1 to 64 characters of A-Z a-z 0-9 . _ -",
            ),
            (&["--shutdown-delay", "30s"], "SHUTDOWN_DELAY=30s must be shorter than SHUTDOWN_GRACE=30s"),
            (
                &["--request-stream", "weather-responses"],
                "REQUEST_STREAM=weather-responses must be neither REPLY_STREAM=weather-responses nor start with it and a dot",
            ),
            (
                &["--request-stream", "weather-responses.a"],
                "REQUEST_STREAM=weather-responses.a must be neither REPLY_STREAM=weather-responses nor start with it and a dot",
            ),
            (
                &["--reply-stream", "{weather-requests}:dlq"],
                "REPLY_STREAM={weather-requests}:dlq must not be where dead letters of weather-requests go",
            ),
        ] {
            assert_eq!(message(flags), format!("invalid configuration: {expected}"));
        }
    }

    #[test]
    fn the_help_documents_every_setting_with_its_variable_and_default() {
        let mut command = Settings::command();

        let help = command.render_long_help().to_string();

        for argument in Settings::command().get_arguments().filter(|a| !a.is_hide_set()) {
            let name = argument.get_long().expect("has a flag");
            let variable = argument.get_env().expect("has a variable").to_string_lossy().into_owned();
            assert!(argument.get_help().is_some(), "--{name} has no help");
            assert!(help.contains(&format!("[env: {variable}")), "{variable} is not in the help:\n{help}");
            let default = match argument.get_default_values() {
                [] => "[default: none".to_owned(),
                [value, ..] => format!("[default: {}", value.to_string_lossy()),
            };
            assert!(help.contains(&default), "--{name} shows no {default:?}:\n{help}");
        }
        assert!(!help.contains("CLOCK_SKEW"), "a knob for tests is no setting");
    }
}
