//! The settings of the process. Each has a flag, a variable and a default. All are checked before a
//! port is bound.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ::routes::{BuiltIn, Routes};
use clap::Parser;
use service::config::value::{address, count};
use service::config::{
    ConfigError, GroupArgs, HumanDuration, ProcessArgs, RedisArgs, StreamArgs, TracingArgs,
};
use service::http::{HealthcheckArgs, ServerLimits};
use streamgate::requester::{DestinationSettings, RequesterSettings, WorkerGroup};
use streamgate::stream::StreamKey;
use streamgate::telemetry::Tracer;

use crate::api_keys::file;
use crate::api_keys::new_key::NewKeyArgs;
use crate::commands::RoutesCommand;
use crate::cors::AllowedOrigins;
use crate::serving;

/// The largest BODY_LIMIT. Bodies are stored in Redis, which is not made for large files.
const LARGEST_BODY: usize = 16 << 20;
/// The largest MAX_IN_FLIGHT and MAX_CONNECTIONS: about as many files as Linux lets one process
/// open (`fs.nr_open`).
const LARGEST_COUNT: usize = 1_000_000;

/// The longest INGRESS_BUSY_POLL. For a longer wait, polling would waste CPU time.
const LONGEST_BUSY_POLL: Duration = Duration::from_millis(10);

/// Takes HTTP requests, puts them on a Redis stream, and answers with the replies of the workers
#[derive(Clone, Parser)]
#[command(name = "ingress", version)]
pub struct Settings {
    /// Address and port of the public API
    #[arg(long, env = "INGRESS_LISTEN", default_value = "0.0.0.0:5009", value_name = "ADDRESS", value_parser = address)]
    pub ingress_listen: SocketAddr,

    /// Address and port of metrics and probes
    #[arg(long, env = "INGRESS_ADMIN_LISTEN", default_value = "0.0.0.0:9009", value_name = "ADDRESS", value_parser = address)]
    pub ingress_admin_listen: SocketAddr,

    /// Name of this replica, 1 to 64 characters of A-Z a-z 0-9 . _ - (such as the name of its pod); its replies
    /// come on its own stream REPLY_STREAM.NAME [default: none, replies come on REPLY_STREAM]
    #[arg(long, env = "INGRESS_REPLICA", value_name = "NAME", value_parser = replica)]
    pub ingress_replica: Option<String>,

    /// Threads that serve requests, 1 to 256; 1 has the lowest latency
    #[arg(long, env = "INGRESS_THREADS", default_value_t = 1, value_name = "COUNT", value_parser = count(1..=256usize))]
    pub ingress_threads: usize,

    /// How long ingress polls its sockets instead of sleeping, while at most 8 callers wait and replies come
    /// within this time, a duration up to 10ms; 0s turns polling off
    #[arg(long, env = "INGRESS_BUSY_POLL", default_value = "500us", value_name = "DURATION")]
    pub ingress_busy_poll: HumanDuration,

    /// File of API keys, one per line: name:hash, name:hash:rate or name:hash:rate:burst (`ingress
    /// new-key NAME` makes one); changes take effect within seconds [default: none, no key is required]
    #[arg(long, env = "API_KEYS_FILE", value_name = "PATH")]
    pub api_keys_file: Option<PathBuf>,

    /// Requests of one API key that may wait for a reply at once, 1 to 1000000; more get 429. A line of API_KEYS_FILE
    /// may set another number with waiting=COUNT [default: none, MAX_IN_FLIGHT holds for all callers together]
    #[arg(long, env = "API_KEY_MAX_WAITING", value_name = "COUNT", value_parser = count(1..=LARGEST_COUNT))]
    pub api_key_max_waiting: Option<usize>,

    /// File of routes, YAML or (with the ending .toml) TOML: which requests are served, on which stream they wait and
    /// who answers them (docs/ROUTES.md); changes take effect within seconds [default: none, the weather alone]
    #[arg(long, env = "ROUTES_FILE", value_name = "PATH")]
    pub routes_file: Option<PathBuf>,

    /// Origins of the web pages that may send requests (CORS): scheme and host, separated by commas, or * for
    /// all; with a routes file, its routes say this themselves [default: none, CORS is off]
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_name = "ORIGINS")]
    pub cors_allowed_origins: Option<AllowedOrigins>,

    /// Callers that may wait for a reply at once, 1 to 1000000; more get 503
    #[arg(long, env = "MAX_IN_FLIGHT", default_value_t = 10_000, value_name = "COUNT", value_parser = count(1..=LARGEST_COUNT))]
    pub max_in_flight: usize,

    /// Connections served at once, 1 to 1000000; more wait in the accept queue of the system
    #[arg(long, env = "MAX_CONNECTIONS", default_value_t = 8_192, value_name = "COUNT", value_parser = count(1..=LARGEST_COUNT))]
    pub max_connections: usize,

    /// Largest request body, in bytes, 1 to 16777216; a larger one gets 413
    #[arg(long, env = "BODY_LIMIT", default_value_t = 65_536, value_name = "BYTES", value_parser = count(1..=LARGEST_BODY))]
    pub body_limit: usize,

    /// Longest wait for the head of a request, and for its body, a duration
    #[arg(long, env = "HEADER_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub header_timeout: HumanDuration,

    /// Longest time in which a caller may read nothing of its answer, a duration
    #[arg(long, env = "WRITE_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub write_timeout: HumanDuration,

    /// The connection to Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The streams.
    #[command(flatten)]
    pub streams: StreamArgs,

    /// The workers.
    #[command(flatten)]
    pub workers: GroupArgs,

    /// The export of spans.
    #[command(flatten)]
    pub tracing: TracingArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl service::config::Settings for Settings {
    fn validate(&self) -> Result<(), ConfigError> {
        self.redis.validate()?;
        self.streams.validate()?;
        self.workers.validate()?;
        self.tracing.validate()?;
        self.process.validate()?;
        for (variable, limit) in
            [("HEADER_TIMEOUT", self.header_timeout), ("WRITE_TIMEOUT", self.write_timeout)]
        {
            if limit.0.is_zero() {
                return Err(ConfigError::rule(variable, limit, "must be longer than 0"));
            }
        }
        if self.ingress_busy_poll.0 > LONGEST_BUSY_POLL {
            return Err(ConfigError::rule(
                "INGRESS_BUSY_POLL",
                self.ingress_busy_poll,
                "must be at most 10ms",
            ));
        }
        if share_a_port(self.ingress_listen, self.ingress_admin_listen) {
            let rule = format!("must differ from INGRESS_LISTEN={}", self.ingress_listen);
            return Err(ConfigError::rule("INGRESS_ADMIN_LISTEN", self.ingress_admin_listen, rule));
        }
        self.validate_lane()?;
        self.validate_api_keys()?;
        self.load_routes().map(drop)
    }
}

/// Takes HTTP requests, puts them on a Redis stream, and answers with the replies of the workers
///
/// Without a command, ingress serves requests.
#[derive(Clone, Parser)]
#[command(name = "ingress", version)]
pub struct Cli {
    /// The command to run instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The settings for serving.
    #[command(flatten)]
    pub settings: Settings,
}

/// The other commands of the binary.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Make an API key: writes its line for API_KEYS_FILE to standard output, and the key, which is stored
    /// nowhere, to standard error
    NewKey(NewKeyArgs),

    /// Ask the ingress on this machine that has the same settings whether it is healthy: exit code 0 if so, else 1
    Healthcheck(HealthcheckArgs),

    /// A command about a routes file.
    #[command(flatten)]
    Routes(RoutesCommand),
}

impl service::config::Settings for Cli {
    fn validate(&self) -> Result<(), ConfigError> {
        match &self.command {
            // The settings may name an API_KEYS_FILE that this command is about to fill.
            Some(Command::NewKey(args)) => args.validate(),
            // The process that it asks has checked the settings itself.
            Some(Command::Healthcheck(args)) => args.validate(),
            // The settings may be those of another place.
            Some(Command::Routes(_)) => Ok(()),
            None => self.settings.validate(),
        }
    }
}

impl Settings {
    /// The settings of the requester of routes with timeouts up to `longest_route`.
    pub fn requester(&self, tracer: Tracer, longest_route: Duration) -> RequesterSettings {
        RequesterSettings {
            reply_stream: self.streams.reply_stream.clone(),
            replica: self.ingress_replica.clone(),
            max_in_flight: self.max_in_flight,
            longest_timeout: longest_route,
            busy_poll: self.ingress_busy_poll.0,
            tracer,
        }
    }

    /// The settings of the destination for the requests of `group` on `stream`.
    pub fn destination(&self, stream: StreamKey, group: &str) -> DestinationSettings {
        let workers = WorkerGroup { name: group.to_owned(), grace: self.workers.consumer_grace.0 };
        DestinationSettings { stream, workers: Some(workers) }
    }

    /// The routes of ROUTES_FILE; the weather alone without a file.
    ///
    /// # Errors
    /// Everything that is wrong with the file.
    pub fn load_routes(&self) -> Result<Routes, ConfigError> {
        let Some(path) = &self.routes_file else {
            return Ok(Routes::built_in(BuiltIn {
                stream: self.streams.request_stream.clone(),
                group: self.workers.consumer_group.clone(),
                timeout: self.streams.request_timeout.0,
                body_limit: self.body_limit,
            }));
        };
        let broken = |rule: String| ConfigError::rule("ROUTES_FILE", path.display(), rule);
        let routes = Routes::load(path).map_err(|faults| broken(format!("has faults:\n{faults}")))?;
        serving::check(&routes, self.api_keys_file.is_some()).map_err(broken)?;
        Ok(routes)
    }

    /// The limits of connections.
    pub fn server(&self) -> ServerLimits {
        ServerLimits {
            connections: self.max_connections,
            header_timeout: self.header_timeout.0,
            write_timeout: self.write_timeout.0,
            drain: self.process.drain(),
        }
    }

    fn validate_api_keys(&self) -> Result<(), ConfigError> {
        let Some(path) = &self.api_keys_file else { return Ok(()) };
        let broken = |rule| ConfigError::rule("API_KEYS_FILE", path.display(), rule);
        file::read(path).map(|_| ()).map_err(broken)
    }

    fn validate_lane(&self) -> Result<(), ConfigError> {
        let Some(replica) = &self.ingress_replica else { return Ok(()) };
        let reply_stream = &self.streams.reply_stream;
        reply_stream.lane(replica).map(|_| ()).map_err(|rule| {
            ConfigError::rule("REPLY_STREAM", reply_stream, format!("with INGRESS_REPLICA {rule}"))
        })
    }
}

/// True if the two addresses cannot both be bound. 0.0.0.0 is every IPv4 address, [::] every IPv6 one.
fn share_a_port(a: SocketAddr, b: SocketAddr) -> bool {
    let any_is_all = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || any_is_all && a.is_ipv4() == b.is_ipv4())
}

fn replica(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 64 characters of A-Z a-z 0-9 . _ -".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use service::config::{Refusal, from_args};

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
        assert_eq!(
            settings.requester(Tracer::default(), Duration::ZERO).reply_stream.as_str(),
            "weather-responses"
        );
    }

    #[test]
    fn every_broken_rule_names_variable_value_and_rule() {
        for (flags, expected) in [
            (&["--request-timeout", "0s"][..], "REQUEST_TIMEOUT=0s must be longer than 0"),
            (&["--request-timeout", "11m"], "REQUEST_TIMEOUT=11m must be at most 10m"),
            (
                &["--header-timeout", "9999999h"],
                "HEADER_TIMEOUT=9999999h must be at most 720h, which is 30 days",
            ),
            (&["--header-timeout", "0s"], "HEADER_TIMEOUT=0s must be longer than 0"),
            (&["--write-timeout", "0s"], "WRITE_TIMEOUT=0s must be longer than 0"),
            (&["--max-in-flight", "0"], "MAX_IN_FLIGHT=0 must be a whole number from 1 to 1000000"),
            (&["--max-in-flight", "abc"], "MAX_IN_FLIGHT=abc must be a whole number from 1 to 1000000"),
            (&["--max-connections", "0"], "MAX_CONNECTIONS=0 must be a whole number from 1 to 1000000"),
            (&["--body-limit", "0"], "BODY_LIMIT=0 must be a whole number from 1 to 16777216"),
            (&["--body-limit", "16777217"], "BODY_LIMIT=16777217 must be a whole number from 1 to 16777216"),
            (&["--ingress-busy-poll", "11ms"], "INGRESS_BUSY_POLL=11ms must be at most 10ms"),
            (&["--ingress-threads", "0"], "INGRESS_THREADS=0 must be a whole number from 1 to 256"),
            (
                &["--ingress-listen", "5009"],
                "INGRESS_LISTEN=5009 must be an address with a port, such as 0.0.0.0:5010 or [::]:5010",
            ),
            (
                &["--ingress-admin-listen", "0.0.0.0:5009"],
                "INGRESS_ADMIN_LISTEN=0.0.0.0:5009 must differ from INGRESS_LISTEN=0.0.0.0:5009",
            ),
            (
                &["--ingress-admin-listen", "127.0.0.1:5009"],
                "INGRESS_ADMIN_LISTEN=127.0.0.1:5009 must differ from INGRESS_LISTEN=0.0.0.0:5009",
            ),
            (
                &["--ingress-listen", "[::]:7000", "--ingress-admin-listen", "[::1]:7000"],
                "INGRESS_ADMIN_LISTEN=[::1]:7000 must differ from INGRESS_LISTEN=[::]:7000",
            ),
            (
                &["--api-keys-file", "/nowhere/keys"],
                "API_KEYS_FILE=/nowhere/keys must be a file that can be read: No such file or directory (os error 2)",
            ),
            (&["--api-keys-file", "/"], "API_KEYS_FILE=/ must be a regular file"),
            (
                &["--redis-url", "rediss://:hunter2@h:6380/#insecure"],
                "REDIS_URL=*** must not end with #insecure: a server whose certificate is not verified may be anybody",
            ),
            (&["--redis-url", "redis://:hunter2@h:0"], "REDIS_URL=*** must have a port from 1 to 65535"),
            (
                &["--otel-exporter-otlp-endpoint", "http://alice:hunter2@collector:0"],
                "OTEL_EXPORTER_OTLP_ENDPOINT=*** must be an http:// or https:// URL such as http://collector:4318, without /v1/traces",
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
                "REPLY_STREAM={weather-requests}:dlq must not be the stream for the dead letters of weather-requests",
            ),
        ] {
            assert_eq!(message(flags), format!("invalid configuration: {expected}"));
        }
    }

    #[test]
    fn the_help_names_every_variable_and_default() {
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
        assert!(!help.contains("CLOCK_SKEW"), "CLOCK_SKEW is for tests, not for operators");
    }
}
