//! Every setting of the process. Each has a flag, a variable and a default; the process checks them all
//! before it binds a port.

mod routes;
mod token;
mod weather;
mod worker;

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser};
use service::config::value::{address, count};
use service::config::{ConfigError, HumanDuration, ProcessArgs, RedisArgs, StreamArgs, TracingArgs};
use service::http::HealthcheckArgs;
use streamgate::responder::ResponderSettings;
use streamgate::stream::{GroupSettings, HousekeepingSettings, Retention, Start};
use streamgate::telemetry::Tracer;

pub use self::routes::RoutesArgs;
pub use self::token::AdminToken;
pub use self::weather::{ProviderName, WeatherArgs};
pub use self::worker::WorkerArgs;

/// The largest RETENTION_ENTRIES and RETENTION_BYTES: more than a server holds.
const LARGEST_RETENTION: u64 = 1_000_000_000_000;

/// Worker: takes requests from a Redis stream, gets the weather, replies.
#[derive(Debug, Clone, Parser)]
#[command(name = "proxy", version)]
pub struct Settings {
    /// Address and port of health, metrics and operations
    #[arg(long, env = "PROXY_LISTEN", default_value = "0.0.0.0:5010", value_name = "ADDRESS", value_parser = address)]
    pub proxy_listen: SocketAddr,

    /// Threads that do the work, 1 to 256; operations have a thread of their own
    #[arg(long, env = "PROXY_THREADS", default_value_t = 1, value_name = "COUNT", value_parser = count(1..=256u16))]
    pub proxy_threads: u16,

    /// Secret for reading dead letters and field values, and for replaying and discarding dead letters: 16 to 512 visible ASCII characters; without a secret these operations are off [default: none]
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, value_name = "SECRET")]
    pub admin_token: Option<AdminToken>,

    /// Worker settings.
    #[command(flatten)]
    pub worker: WorkerArgs,

    /// The routes file.
    #[command(flatten)]
    pub routes: RoutesArgs,

    /// How much finished work stays on the streams.
    #[command(flatten)]
    pub retention: RetentionArgs,

    /// The weather.
    #[command(flatten)]
    pub weather: WeatherArgs,

    /// Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// Streams.
    #[command(flatten)]
    pub streams: StreamArgs,

    /// Spans.
    #[command(flatten)]
    pub tracing: TracingArgs,

    /// Shutdown and logs.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// How much finished work stays on the streams, and how often they are trimmed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Retention")]
pub struct RetentionArgs {
    /// Finished requests kept on the stream, about
    #[arg(long, env = "RETENTION_ENTRIES", default_value_t = 100_000, value_name = "COUNT", value_parser = count(0..=LARGEST_RETENTION))]
    pub retention_entries: u64,

    /// Finished requests kept no longer than this, a duration
    #[arg(long, env = "RETENTION_AGE", default_value = "1h", value_name = "DURATION")]
    pub retention_age: HumanDuration,

    /// Memory of the request stream, in bytes, above which finished requests go earlier
    #[arg(long, env = "RETENTION_BYTES", default_value_t = 268_435_456, value_name = "BYTES", value_parser = count(0..=LARGEST_RETENTION))]
    pub retention_bytes: u64,

    /// Dead letters kept, about
    #[arg(long, env = "DEAD_LETTERS_KEPT", default_value_t = 10_000, value_name = "COUNT", value_parser = count(1..=1_000_000_000u32))]
    pub dead_letters_kept: u32,

    /// How often streams are trimmed, dead consumers removed and gauges refreshed, a duration
    #[arg(long, env = "HOUSEKEEPING_PERIOD", default_value = "5s", value_name = "DURATION")]
    pub housekeeping_period: HumanDuration,
}

impl service::config::Settings for Settings {
    fn validate(&self) -> Result<(), ConfigError> {
        self.redis.validate()?;
        self.streams.validate()?;
        self.tracing.validate()?;
        self.process.validate()?;
        self.worker.validate()?;
        self.routes.validate()?;
        self.weather.validate()?;
        let period = self.retention.housekeeping_period;
        if period.0 < Duration::from_millis(100) {
            return Err(ConfigError::rule("HOUSEKEEPING_PERIOD", period, "must be at least 100ms"));
        }
        Ok(())
    }
}

/// Worker: takes requests from a Redis stream, gets the weather, replies.
///
/// Without a command it works.
#[derive(Debug, Clone, Parser)]
#[command(name = "proxy", version)]
pub struct Cli {
    /// What to do instead of working.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The settings of the worker.
    #[command(flatten)]
    pub settings: Settings,
}

/// Commands other than to work.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Ask the proxy on this machine that has the same settings whether it is healthy: exit code 0 if so, else 1
    Healthcheck(HealthcheckArgs),
}

impl service::config::Settings for Cli {
    fn validate(&self) -> Result<(), ConfigError> {
        match &self.command {
            // The proxy that the command asks has checked the other settings itself.
            Some(Command::Healthcheck(args)) => args.validate(),
            None => self.settings.validate(),
        }
    }
}

/// How long a reader blocks: short, so that it notices a shutdown even if no message wakes it.
const BLOCK: Duration = Duration::from_secs(2);

impl Settings {
    /// The settings for the library.
    pub fn responder(&self, tracer: Tracer) -> ResponderSettings {
        let worker = self.worker.name();
        ResponderSettings {
            worker: worker.as_str().into(),
            group: GroupSettings {
                stream: self.streams.request_stream.clone(),
                group: self.worker.group.consumer_group.clone(),
                consumer: worker,
                start: Start::default(),
                block: BLOCK,
                claim_min_idle: self.worker.claim_min_idle.0,
                lease_renewal: self.worker.lease_renewal.0,
                grace: self.worker.group.consumer_grace.0,
                dead_letters_kept: self.retention.dead_letters_kept as usize,
            },
            reply_stream: self.streams.reply_stream.clone(),
            concurrency: self.worker.worker_concurrency as usize,
            handler_timeout: self.worker.handler_timeout.0,
            housekeeping: Some(HousekeepingSettings {
                retention: self.retention(),
                period: self.retention.housekeeping_period.0,
            }),
            tracer,
            max_deliveries: self.worker.max_deliveries,
            request_timeout: self.streams.request_timeout.0,
        }
    }

    /// How much finished work stays on the request stream.
    pub fn retention(&self) -> Retention {
        Retention {
            entries: self.retention.retention_entries,
            age: self.retention.retention_age.0,
            bytes: self.retention.retention_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use service::config::{Refusal, from_args};

    use super::*;

    fn message(flags: &[&str]) -> String {
        match from_args::<Settings>([&["proxy"], flags].concat()) {
            Err(Refusal::Invalid(error)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_broken_rule_names_variable_value_and_rule() {
        for (flags, expected) in [
            (
                &["--claim-min-idle", "1s", "--lease-renewal", "500ms"][..],
                "CLAIM_MIN_IDLE=1s must be at least 3 × LEASE_RENEWAL=500ms",
            ),
            (&["--consumer-grace", "1s"], "CONSUMER_GRACE=1s must be at least CLAIM_MIN_IDLE=2s"),
            (
                &["--consumer-group", ""],
                "CONSUMER_GROUP= must be 1 to 128 visible ASCII characters without spaces",
            ),
            (
                &["--worker-name", "a b"],
                "WORKER_NAME=a b must be 1 to 128 visible ASCII characters without spaces",
            ),
            (&["--handler-timeout", "0s"], "HANDLER_TIMEOUT=0s must be longer than 0"),
            (
                &["--weather-provider", "oracle"],
                "WEATHER_PROVIDER=oracle must be one of simulated, open-meteo",
            ),
            (
                &["--simulated-latency", "5s..1s"],
                "SIMULATED_LATENCY=5s..1s must start with the shorter duration",
            ),
            (
                &["--request-stream", "weather-responses.a"],
                "REQUEST_STREAM=weather-responses.a must be neither REPLY_STREAM=weather-responses nor start with it and a dot",
            ),
            (
                &["--open-meteo-forecast-url", "ftp://x"],
                "OPEN_METEO_FORECAST_URL=*** must be an http or https URL",
            ),
            (
                &["--open-meteo-forecast-url", "http://127.0.0.1:0/?apikey=hunter2"],
                "OPEN_METEO_FORECAST_URL=*** must be an http or https URL",
            ),
            (
                &["--redis-url", "redis://:hunter2@h?protocol=resp3"],
                "REDIS_URL=*** must have no part behind a ?; in a password, write %3F",
            ),
            (
                &["--open-meteo-geocoding-url", "apikey=hunter2"],
                "OPEN_METEO_GEOCODING_URL=*** must be an http or https URL",
            ),
            (&["--proxy-threads", "0"], "PROXY_THREADS=0 must be a whole number from 1 to 256"),
            (
                &["--proxy-listen", "localhost:5010"],
                "PROXY_LISTEN=localhost:5010 must be an address with a port, such as 0.0.0.0:5010 or [::]:5010",
            ),
            (&["--worker-concurrency", "x"], "WORKER_CONCURRENCY=x must be a whole number from 1 to 100000"),
            (&["--max-deliveries", "0"], "MAX_DELIVERIES=0 must be a whole number from 1 to 1000"),
            (
                &["--retention-entries=-1"],
                "RETENTION_ENTRIES=-1 must be a whole number from 0 to 1000000000000",
            ),
            (
                &["--retention-bytes", "1GB"],
                "RETENTION_BYTES=1GB must be a whole number from 0 to 1000000000000",
            ),
            (
                &["--admin-token", "hunter2"],
                "ADMIN_TOKEN=*** must be 16 to 512 visible ASCII characters without spaces",
            ),
            (
                &["--dead-letters-kept", "0"],
                "DEAD_LETTERS_KEPT=0 must be a whole number from 1 to 1000000000",
            ),
            (
                &["--open-meteo-per-minute", "0"],
                "OPEN_METEO_PER_MINUTE=0 must be a whole number from 1 to 1000000",
            ),
            (
                &["--lease-renewal", "5124095576030431h"],
                "LEASE_RENEWAL=5124095576030431h must be a duration with its unit, such as 500ms, 30s or 5m",
            ),
            (
                &["--lease-renewal", "2000000000000000h"],
                "LEASE_RENEWAL=2000000000000000h must be at most 720h, which is 30 days",
            ),
            (&["--only", "orders,b"], "ONLY_STREAMS=orders,b needs ROUTES_FILE"),
            (&["--consumer-grace", "721h"], "CONSUMER_GRACE=721h must be at most 720h, which is 30 days"),
            (&["--shutdown-delay", "30s"], "SHUTDOWN_DELAY=30s must be shorter than SHUTDOWN_GRACE=30s"),
        ] {
            assert_eq!(message(flags), format!("invalid configuration: {expected}"));
        }
    }

    #[test]
    fn the_help_has_every_setting_with_variable_and_default() {
        let help = Settings::command().render_long_help().to_string();

        for argument in Settings::command().get_arguments().filter(|a| !a.is_hide_set()) {
            let name = argument.get_long().expect("has a flag");
            let variable = argument.get_env().expect("has a variable").to_string_lossy().into_owned();
            assert!(argument.get_help().is_some(), "--{name} has no help");
            assert!(help.contains(&format!("[env: {variable}")), "{variable} is not in the help:\n{help}");
            let own = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                own.contains("[default:") || !argument.get_default_values().is_empty(),
                "--{name} shows no default"
            );
        }
    }

    #[test]
    fn the_help_does_not_show_what_may_hold_a_key() {
        let hidden: Vec<_> = Settings::command()
            .get_arguments()
            .filter(|argument| argument.is_hide_env_values_set())
            .filter_map(|argument| argument.get_env()?.to_str().map(str::to_owned))
            .collect();

        assert_eq!(
            hidden,
            [
                "ADMIN_TOKEN",
                "OPEN_METEO_FORECAST_URL",
                "OPEN_METEO_GEOCODING_URL",
                "REDIS_URL",
                "OTEL_EXPORTER_OTLP_ENDPOINT"
            ]
        );
    }

    #[test]
    fn two_workers_without_a_name_get_different_ones() {
        let settings = from_args::<Settings>(["proxy"]).expect("defaults are valid");

        assert_ne!(
            settings.responder(Tracer::default()).worker,
            settings.responder(Tracer::default()).worker
        );
    }
}
