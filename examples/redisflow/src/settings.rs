//! Every setting: a flag wins over a variable, a variable over the default. A wrong one ends the program with 64.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use service::config::{ConfigError, HumanDuration, ProcessArgs, Settings, TracingArgs, value};
use service::http::HealthcheckArgs;
use streamgate::connection::RedisUrl;
use streamgate::stream::{ConsumerGroup, InvalidName, StreamKey};

use crate::message::ProducerName;

/// Two producers, Protocol Buffers, and one consumer group that survives everything.
#[derive(Debug, Parser)]
#[command(name = "redisflow", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The parts of the system.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make messages and send them, in order, also after Redis was away
    Producer(ProducerArgs),
    /// Work on messages as a member of the group
    Consumer(ConsumerArgs),
    /// Show the stream, its newest messages, its groups and what is pending
    Inspect(InspectArgs),
    /// Run producers and consumers as processes, and watch them
    Demo(DemoArgs),
    /// Ask a producer or a consumer whether it is alive
    Healthcheck(Healthcheck),
}

/// Where the messages are.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Redis")]
pub struct FlowArgs {
    /// Redis server [env: REDIS_CONNECTION_STRING, else REDIS_URL] [default: redis://127.0.0.1:6379]
    #[arg(long, hide_env_values = true, value_name = "URL", value_parser = redis_url)]
    redis_url: Option<String>,
    /// Stream of the messages
    #[arg(long, env = "REDISFLOW_STREAM", default_value = "redisflow:stream", value_name = "KEY")]
    pub stream: StreamKey,
    /// Consumer group
    #[arg(long, env = "REDISFLOW_GROUP", default_value = "default-group", value_name = "NAME", value_parser = name)]
    pub group: String,
}

/// What every producer and consumer has as a process.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Process")]
pub struct ServiceArgs {
    /// Address of /metrics, /livez and /readyz; with port 0 the system chooses the port
    #[arg(long, env = "REDISFLOW_LISTEN", default_value = "127.0.0.1:0", value_name = "ADDRESS", value_parser = value::address)]
    pub listen: SocketAddr,
    /// End when standard input closes: no part outlives the demo that started it
    #[arg(long, hide = true)]
    pub ends_with_stdin: bool,
    /// Logs and shutdown.
    #[command(flatten)]
    pub process: ProcessArgs,
    /// Traces.
    #[command(flatten)]
    pub tracing: TracingArgs,
}

/// A producer.
#[derive(Debug, Args)]
pub struct ProducerArgs {
    /// Name in the messages: up to 100 letters, digits and . - _ @ : /
    #[arg(long, env = "REDISFLOW_PRODUCER", default_value = "Producer1", value_name = "NAME")]
    pub name: ProducerName,
    /// Time between two messages, a duration
    #[arg(long, env = "REDISFLOW_EVERY", default_value = "5s", value_name = "DURATION")]
    pub every: HumanDuration,
    /// Most messages kept while Redis is away; then none is made until Redis is back
    #[arg(long, env = "REDISFLOW_KEEP", default_value = "1000", value_name = "COUNT", value_parser = value::count(1usize..=1_000_000))]
    pub keep: usize,
    /// Where they go.
    #[command(flatten)]
    pub flow: FlowArgs,
    /// The process.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// A consumer.
#[derive(Debug, Args)]
pub struct ConsumerArgs {
    /// Name in the group, the same after a restart [default: the name of this host]
    #[arg(long, env = "REDISFLOW_CONSUMER", value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// Time of the work on a message, a duration
    #[arg(long, env = "REDISFLOW_WORK", default_value = "500ms", value_name = "DURATION")]
    pub work: HumanDuration,
    /// Most messages taken at once; they are worked on in order
    #[arg(long, env = "REDISFLOW_BATCH", default_value = "10", value_name = "COUNT", value_parser = value::count(1usize..=10_000))]
    pub batch: usize,
    /// Silence of a consumer after which others take over its messages, a duration
    #[arg(long, env = "REDISFLOW_LEASE", default_value = "2s", value_name = "DURATION")]
    pub lease: HumanDuration,
    /// Where they come from.
    #[command(flatten)]
    pub flow: FlowArgs,
    /// The process.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// What is shown, and how.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// What to show
    #[arg(value_enum, default_value = "all")]
    pub what: What,
    /// For people, or for programs: one JSON object, when live one per line
    #[arg(long, value_enum, default_value = "text")]
    pub output: Output,
    /// Most messages and pending entries shown
    #[arg(long, default_value = "10", value_name = "COUNT", value_parser = value::count(1usize..=10_000))]
    pub count: usize,
    /// Time between two looks when live, a duration
    #[arg(long, default_value = "1s", value_name = "DURATION")]
    pub every: HumanDuration,
    /// Where to look.
    #[command(flatten)]
    pub flow: FlowArgs,
}

/// The parts of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Everything, once.
    All,
    /// The stream: its length and its ends.
    Stream,
    /// The newest messages, decoded.
    Entries,
    /// The groups and their consumers.
    Groups,
    /// What was delivered and not acknowledged.
    Pending,
    /// Everything, again and again.
    Live,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    Text,
    /// JSON.
    Json,
}

/// The demonstration: Producer1, Producer2, consumer-1 and consumer-2.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Time between two messages of Producer1, a duration
    #[arg(long, default_value = "5s", value_name = "DURATION")]
    pub first: HumanDuration,
    /// Time between two messages of Producer2, a duration
    #[arg(long, default_value = "3s", value_name = "DURATION")]
    pub second: HumanDuration,
    /// Time of the work on a message, a duration
    #[arg(long, env = "REDISFLOW_WORK", default_value = "500ms", value_name = "DURATION")]
    pub work: HumanDuration,
    /// Where the messages go.
    #[command(flatten)]
    pub flow: FlowArgs,
}

/// Asks a process that runs with the same settings.
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// Address of the process
    #[arg(long, env = "REDISFLOW_LISTEN", value_name = "ADDRESS", value_parser = value::address)]
    pub listen: SocketAddr,
    /// The question.
    #[command(flatten)]
    pub check: HealthcheckArgs,
}

impl FlowArgs {
    /// The URL of Redis, which may have a password: the flag, REDIS_CONNECTION_STRING, REDIS_URL or the default.
    ///
    /// # Errors
    /// It is no URL of Redis, or uses TLS where no certificate is trusted.
    pub fn url(&self) -> Result<String, ConfigError> {
        let variable = |name: &'static str| {
            std::env::var(name).ok().filter(|text| !text.is_empty()).map(|it| (name, it))
        };
        let (source, url) = None
            .or_else(|| Some(("--redis-url", self.redis_url.clone()?)))
            .or_else(|| variable("REDIS_CONNECTION_STRING"))
            .or_else(|| variable("REDIS_URL"))
            .unwrap_or_else(|| ("the default", "redis://127.0.0.1:6379".to_owned()));
        let wrong = |rule: String| ConfigError::rule(source, "***", rule);
        let parsed: RedisUrl = url.parse().map_err(|rule: &str| wrong(rule.to_owned()))?;
        let trust = parsed.check_trust();
        trust.map_err(|reason| wrong(format!("uses TLS, and no certificate is trusted: {reason}")))?;
        Ok(url)
    }
}

impl ServiceArgs {
    fn validate(&self) -> Result<(), ConfigError> {
        self.process.validate()?;
        self.tracing.validate()
    }
}

impl Settings for Cli {
    fn validate(&self) -> Result<(), ConfigError> {
        let flow = match &self.command {
            Command::Producer(args) => {
                at_least("REDISFLOW_EVERY", args.every, SHORTEST)?;
                args.service.validate()?;
                &args.flow
            }
            Command::Consumer(args) => {
                at_least("REDISFLOW_LEASE", args.lease, SHORTEST_LEASE)?;
                args.service.validate()?;
                &args.flow
            }
            Command::Inspect(args) => {
                at_least("--every", args.every, SHORTEST)?;
                &args.flow
            }
            Command::Demo(args) => {
                at_least("--first", args.first, SHORTEST)?;
                at_least("--second", args.second, SHORTEST)?;
                &args.flow
            }
            Command::Healthcheck(args) => return args.check.validate(),
        };
        flow.url().map(drop)
    }
}

/// The shortest time between two messages, or two looks.
const SHORTEST: Duration = Duration::from_millis(1);

/// A shorter lease ends before it can be renewed.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

fn at_least(variable: &str, value: HumanDuration, least: Duration) -> Result<(), ConfigError> {
    match value.0 >= least {
        true => Ok(()),
        false => {
            Err(ConfigError::rule(variable, value, format!("must be at least {}", HumanDuration(least))))
        }
    }
}

fn redis_url(text: &str) -> Result<String, &'static str> {
    text.parse::<RedisUrl>().map(|_| text.to_owned())
}

fn name(text: &str) -> Result<String, InvalidName> {
    ConsumerGroup::check_name(text).map(|()| text.to_owned())
}
