//! The example as it is used: an API, two members of the consumer groups, the simple consumer, and its load test.

use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::lab::Lab;

/// Events a second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Requests that were answered: the event is in the audit trail and in the outbox.
    pub(super) sent: f64,
    /// Events whose effect is stored, from the first request to the last effect.
    pub(super) processed: f64,
}

/// What `events load-test --output json` prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Printed {
    events: f64,
    sent_seconds: f64,
    processed_seconds: f64,
}

/// For one run of the load test.
const PATIENCE: Duration = Duration::from_secs(600);

pub(super) async fn run(
    lab: &Lab,
    database: &str,
    events: usize,
    callers: usize,
) -> anyhow::Result<Measured> {
    let (_server, redis) = lab.redis(&["--appendonly", "yes", "--appendfsync", "everysec"])?;
    let command = |words: &[&str]| {
        let mut command = lab.command(lab.options.bin_dir.join("events"));
        command.args(words).env("DATABASE_URL", database).env("REDIS_URL", redis.url());
        command.env("LOG_FORMAT", "json").env("RUST_LOG", "info").env("EVENTS_AUTH", "off");
        command.env("EVENTS_LISTEN", "127.0.0.1:0").env("EVENTS_DATABASE_TIMEOUT", "30s");
        command
    };
    let start = |name: &str, words: &[&str]| stack::Process::start(name, command(words).into_std());
    let mut api = start("api", &["api"])?;
    let address = api.named(&["api"])?.swap_remove(0);
    api.until("the API is ready", PATIENCE, |_| stack::http::is_ready(&format!("http://{address}")))?;
    let _members = (
        start("m1", &["consumer-group", "--name", "m1"])?,
        start("m2", &["consumer-group", "--name", "m2"])?,
        start("tally", &["consumer"])?,
    );
    let counts = [events.to_string(), callers.to_string()];
    let mut load: Command = command(&["load-test", &counts[0], &counts[1], "--output", "json"]);
    load.env("EVENTS_URL", format!("http://{address}")).kill_on_drop(true);
    let output =
        tokio::time::timeout(PATIENCE, load.output()).await.context("the load test does not end")??;
    let said = String::from_utf8_lossy(&output.stdout);
    let printed: Printed = serde_json::from_str(&said).with_context(|| {
        format!("the load test failed: {said}{}", String::from_utf8_lossy(&output.stderr))
    })?;
    api.check()?;
    Ok(Measured {
        sent: printed.events / printed.sent_seconds,
        processed: printed.events / printed.processed_seconds,
    })
}
