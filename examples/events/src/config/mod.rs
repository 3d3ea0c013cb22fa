//! The settings. Each has a flag, a variable and a default, and all are checked before anything starts.

mod database;
mod secrets;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use service::config::value::{address, count};
use service::config::{ConfigError, HumanDuration, ProcessArgs, RedisArgs};
use service::http::HealthcheckArgs;
use streamgate::resilience::RetryPolicy;
use streamgate::stream::{ConsumerGroup, EntryId, Start};

use crate::auth::Role;

pub use database::{DatabaseArgs, DatabaseUrl, SqliteSync};
pub use secrets::check_password;

/// Users and events with an outbox, consumers and an audit trail
#[derive(Parser)]
#[command(name = "events", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Serve the HTTP API, and append the events of the outbox to the streams
    Api(Box<ApiSettings>),
    /// Read all streams from an id on, without a group, and count their entries
    Consumer(Box<ConsumerSettings>),
    /// Work on the events of all streams as a member of their consumer groups
    ConsumerGroup(Box<GroupSettings>),
    /// Send events to a running API, and check that the statistics add up to them
    LoadTest(Box<LoadSettings>),
    /// Show streams, groups, outbox and readers
    Inspect(Box<InspectSettings>),
    /// Make or change an account; its password is read from standard input
    Account(Box<AccountSettings>),
    /// Ask the API on this machine whether it lives, or with --ready whether it should get requests
    Healthcheck(HealthSettings),
}

/// Whether something needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Settings of `events api`.
#[derive(Debug, Clone, Args)]
pub struct ApiSettings {
    /// Address and port of the API
    #[arg(long, env = "EVENTS_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS", value_parser = address)]
    pub events_listen: SocketAddr,

    /// Whether callers need a token; off means that every caller that can connect may do everything
    #[arg(long, env = "EVENTS_AUTH", default_value = "on", value_enum)]
    pub events_auth: Switch,

    /// Whether reading needs a token, too
    #[arg(long, env = "EVENTS_AUTH_READING", default_value = "on", value_enum)]
    pub events_auth_reading: Switch,

    /// File with the keys that sign tokens: one or two lines id:secret; the first signs, both verify; it is read again
    /// when it changes
    #[arg(long, env = "EVENTS_JWT_KEYS_FILE", value_name = "PATH")]
    pub events_jwt_keys_file: Option<PathBuf>,

    /// The same keys, separated by a comma
    #[arg(long, env = "EVENTS_JWT_KEYS", hide_env_values = true, value_name = "KEYS")]
    pub events_jwt_keys: Option<String>,

    /// File with the password of the account `admin`, which is made or changed at the start
    #[arg(long, env = "EVENTS_ADMIN_PASSWORD_FILE", value_name = "PATH")]
    pub events_admin_password_file: Option<PathBuf>,

    /// The same password
    #[arg(long, env = "EVENTS_ADMIN_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub events_admin_password: Option<String>,

    /// How long a token is valid, a duration from 1s to 24h
    #[arg(long, env = "EVENTS_TOKEN_LIFETIME", default_value = "1h", value_name = "DURATION")]
    pub events_token_lifetime: HumanDuration,

    /// Logins a minute for each name, 1 to 10000
    #[arg(long, env = "EVENTS_LOGINS_PER_MINUTE", default_value = "10", value_name = "COUNT", value_parser = logins)]
    pub events_logins_per_minute: NonZeroU32,

    /// How long the process that appends events to the streams may be silent until another one takes over, a duration
    /// from 1s to 1m
    #[arg(long, env = "EVENTS_RELAY_LEASE", default_value = "6s", value_name = "DURATION")]
    pub events_relay_lease: HumanDuration,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The connection to Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Settings of `events consumer`.
#[derive(Debug, Clone, Args)]
pub struct ConsumerSettings {
    /// Name under which the place in each stream is kept
    #[arg(long, default_value = "tally", value_name = "NAME", value_parser = name)]
    pub name: String,

    /// Where to begin in a stream without a kept place: beginning, end, or an entry id
    #[arg(long, default_value = "beginning", value_name = "PLACE", value_parser = start)]
    pub from: Start,

    /// Address and port of metrics and probes [default: none]
    #[arg(long, env = "EVENTS_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub events_admin_listen: Option<SocketAddr>,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The connection to Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// Settings of `events consumer-group`.
#[derive(Debug, Clone, Args)]
pub struct GroupSettings {
    /// Name of this member, the same after a restart [default: the name of the host]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,

    /// Delay before the first retry of an event, a duration; it doubles with each further one
    #[arg(long, env = "EVENTS_RETRY_FIRST", default_value = "1s", value_name = "DURATION")]
    pub events_retry_first: HumanDuration,

    /// Longest delay before a retry, a duration
    #[arg(long, env = "EVENTS_RETRY_LONGEST", default_value = "30s", value_name = "DURATION")]
    pub events_retry_longest: HumanDuration,

    /// Deliveries of an event until it becomes a dead letter, 1 to 100
    #[arg(long, env = "EVENTS_DELIVERIES", default_value_t = 5, value_name = "COUNT", value_parser = count(1..=100u32))]
    pub events_deliveries: u32,

    /// Address and port of metrics and probes [default: none]
    #[arg(long, env = "EVENTS_ADMIN_LISTEN", value_name = "ADDRESS", value_parser = address)]
    pub events_admin_listen: Option<SocketAddr>,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The connection to Redis.
    #[command(flatten)]
    pub redis: RedisArgs,

    /// The process.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl GroupSettings {
    /// When a failed event is tried again.
    pub fn retry(&self) -> RetryPolicy {
        RetryPolicy::exponential(self.events_retry_first.0, self.events_retry_longest.0)
            .jitter(0.2)
            .deliveries(self.events_deliveries)
    }
}

/// Where the API is, and who asks it.
#[derive(Debug, Clone, Args)]
pub struct LoadSettings {
    /// Events to send, 1 to 1000000
    #[arg(value_name = "COUNT", default_value_t = 1_000, value_parser = count(1..=1_000_000u64))]
    pub count: u64,

    /// Requests at once, 1 to 1000
    #[arg(value_name = "CONCURRENCY", default_value_t = 50, value_parser = count(1..=1_000usize))]
    pub concurrency: usize,

    /// The API
    #[arg(long, env = "EVENTS_URL", default_value = "http://127.0.0.1:3000", value_name = "URL")]
    pub events_url: String,

    /// Account to log in with, if the API needs tokens
    #[arg(long, env = "EVENTS_USERNAME", default_value = "admin", value_name = "NAME")]
    pub events_username: String,

    /// Its password [default: none, no login]
    #[arg(long, env = "EVENTS_PASSWORD", hide_env_values = true, value_name = "PASSWORD")]
    pub events_password: Option<String>,

    /// How the result looks
    #[arg(long, default_value = "text", value_enum)]
    pub output: Output,

    /// Longest wait until all events are processed, a duration
    #[arg(long, default_value = "2m", value_name = "DURATION")]
    pub patience: HumanDuration,
}

/// Settings of `events inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectSettings {
    /// How the output looks
    #[arg(long, default_value = "text", value_enum)]
    pub output: Output,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// The connection to Redis.
    #[command(flatten)]
    pub redis: RedisArgs,
}

/// How the output looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For a person.
    Text,
    /// For a program.
    Json,
}

/// Settings of `events account`.
#[derive(Debug, Clone, Args)]
pub struct AccountSettings {
    /// Name of the account, 1 to 100 letters, digits, dots, hyphens or underscores
    #[arg(value_name = "NAME", value_parser = name)]
    pub name: String,

    /// What it may do
    #[arg(long, default_value = "reader", value_enum)]
    pub role: Role,

    /// The database.
    #[command(flatten)]
    pub database: DatabaseArgs,
}

/// Settings of `events healthcheck`.
#[derive(Debug, Clone, Args)]
pub struct HealthSettings {
    /// Address and port of the API
    #[arg(long, env = "EVENTS_LISTEN", default_value = "127.0.0.1:3000", value_name = "ADDRESS", value_parser = address)]
    pub events_listen: SocketAddr,

    /// What is asked.
    #[command(flatten)]
    pub question: HealthcheckArgs,
}

impl service::config::Settings for Cli {
    fn validate(&self) -> Result<(), ConfigError> {
        match &self.command {
            Command::Api(api) => {
                api.process.validate()?;
                let lifetime = api.events_token_lifetime;
                if !(1..=86_400).contains(&lifetime.0.as_secs()) {
                    return Err(ConfigError::rule(
                        "EVENTS_TOKEN_LIFETIME",
                        lifetime,
                        "must be from 1s to 24h",
                    ));
                }
                let lease = api.events_relay_lease;
                if !(1..=60).contains(&lease.0.as_secs()) {
                    return Err(ConfigError::rule("EVENTS_RELAY_LEASE", lease, "must be from 1s to 1m"));
                }
                api.signing_keys()?;
                api.admin_password()?;
                both(&api.database, &api.redis)
            }
            Command::Consumer(consumer) => {
                consumer.process.validate()?;
                both(&consumer.database, &consumer.redis)
            }
            Command::ConsumerGroup(group) => {
                group.process.validate()?;
                if group.events_retry_first > group.events_retry_longest {
                    let rule = format!("must be at most EVENTS_RETRY_LONGEST={}", group.events_retry_longest);
                    return Err(ConfigError::rule("EVENTS_RETRY_FIRST", group.events_retry_first, rule));
                }
                both(&group.database, &group.redis)
            }
            Command::Inspect(inspect) => both(&inspect.database, &inspect.redis),
            Command::Account(account) => account.database.validate(),
            Command::Healthcheck(settings) => settings.question.validate(),
            Command::LoadTest(_) => Ok(()),
        }
    }
}

fn both(database: &DatabaseArgs, redis: &RedisArgs) -> Result<(), ConfigError> {
    redis.validate()?;
    database.validate()
}

fn logins(text: &str) -> Result<NonZeroU32, String> {
    let number = count(1..=10_000u32)(text)?;
    NonZeroU32::new(number).ok_or_else(|| "must be at least 1".to_owned())
}

fn name(text: &str) -> Result<String, String> {
    ConsumerGroup::check_name(text).map_err(|rule| rule.to_string())?;
    let good = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    match text.len() <= 100 && text.bytes().all(good) {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 100 letters, digits, dots, hyphens or underscores".to_owned()),
    }
}

fn start(text: &str) -> Result<Start, String> {
    Ok(match text {
        "beginning" => Start::Beginning,
        "end" => Start::End,
        id => Start::After(
            id.parse::<EntryId>().map_err(|_| "must be beginning, end, or an entry id".to_owned())?,
        ),
    })
}
