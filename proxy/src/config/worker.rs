use std::time::Duration;

use clap::Args;
use service::config::value::count;
use service::config::{ConfigError, GroupArgs, HumanDuration};
use streamgate::stream::ConsumerGroup;

/// How this worker takes part in its group.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Worker")]
pub struct WorkerArgs {
    /// The consumer group of this worker.
    #[command(flatten)]
    pub group: GroupArgs,

    /// Name of this worker, unique in its group [default: host name, process id and a random number]
    #[arg(long, env = "WORKER_NAME", value_name = "NAME")]
    pub worker_name: Option<String>,

    /// Requests worked on at once
    #[arg(long, env = "WORKER_CONCURRENCY", default_value_t = 256, value_name = "COUNT", value_parser = count(1..=100_000u32))]
    pub worker_concurrency: u32,

    /// Longest time to work on one request, a duration
    #[arg(long, env = "HANDLER_TIMEOUT", default_value = "10s", value_name = "DURATION")]
    pub handler_timeout: HumanDuration,

    /// Length of a lease: an entry idle for longer may be claimed by another worker, a duration
    #[arg(long, env = "CLAIM_MIN_IDLE", default_value = "2s", value_name = "DURATION")]
    pub claim_min_idle: HumanDuration,

    /// How often leases are renewed, a duration, at most a third of CLAIM_MIN_IDLE
    #[arg(long, env = "LEASE_RENEWAL", default_value = "500ms", value_name = "DURATION")]
    pub lease_renewal: HumanDuration,

    /// Deliveries after which an entry becomes a dead letter
    #[arg(long, env = "MAX_DELIVERIES", default_value_t = 5, value_name = "COUNT", value_parser = count(1..=1_000u32))]
    pub max_deliveries: u32,
}

impl WorkerArgs {
    /// Rules between these settings.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.group.validate()?;
        if let Some(worker) = &self.worker_name {
            ConsumerGroup::check_name(worker)
                .map_err(|rule| ConfigError::rule("WORKER_NAME", worker, rule))?;
        }
        if self.handler_timeout.0.is_zero() {
            return Err(ConfigError::rule("HANDLER_TIMEOUT", self.handler_timeout, "must be longer than 0"));
        }
        if self.lease_renewal.0 < Duration::from_millis(10) {
            return Err(ConfigError::rule("LEASE_RENEWAL", self.lease_renewal, "must be at least 10ms"));
        }
        if self.claim_min_idle.0 < self.lease_renewal.0 * 3 {
            let rule = format!("must be at least 3 × LEASE_RENEWAL={}", self.lease_renewal);
            return Err(ConfigError::rule("CLAIM_MIN_IDLE", self.claim_min_idle, rule));
        }
        if self.group.consumer_grace.0 < self.claim_min_idle.0 {
            let rule = format!("must be at least CLAIM_MIN_IDLE={}", self.claim_min_idle);
            return Err(ConfigError::rule("CONSUMER_GRACE", self.group.consumer_grace, rule));
        }
        Ok(())
    }

    /// The configured name, or else a unique one.
    pub fn name(&self) -> String {
        self.worker_name.clone().unwrap_or_else(unique_name)
    }
}

/// Two processes with one name would read each other's pending entries, so the name ends with a random
/// number.
fn unique_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(64).collect();
    let host = if host.is_empty() { "worker".to_owned() } else { host };
    format!("{host}-{}-{:06x}", std::process::id(), rand::random_range(0..0x100_0000))
}
