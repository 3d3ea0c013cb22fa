//! A Redis server of a deployment.

use std::net::SocketAddr;

use anyhow::Context;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamInfoGroup, StreamInfoGroupsReply};
use redis::{AsyncConnectionConfig, Client, cmd, pipe};
use stack::free_address;

use super::Lab;
use super::process::{Process, Role};

/// Where a Redis server listens.
#[derive(Debug, Clone, Copy)]
pub struct RedisAddress(SocketAddr);

/// The stream, the group and the reply stream, as the product names them by default.
const REQUESTS: &str = "weather-requests";
const GROUP: &str = "weather-workers";
const REPLIES: &str = "weather-responses";
/// Entries written at once.
const BATCH: usize = 1_000;

impl RedisAddress {
    /// As the product's REDIS_URL.
    pub fn url(self) -> String {
        format!("redis://{}", self.0)
    }

    /// How many commands it has run; what this harness asks is not counted.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn commands(self) -> anyhow::Result<u64> {
        let text: String = cmd("INFO").arg("commandstats").query_async(&mut self.connect().await?).await?;
        Ok(calls(&text))
    }

    /// Puts `count` finished requests on the stream: read and acknowledged by the workers' group.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn fill(self, count: usize) -> anyhow::Result<()> {
        let mut redis = self.connect().await?;
        let mut create = cmd("XGROUP");
        create.arg("CREATE").arg(REQUESTS).arg(GROUP).arg("0").arg("MKSTREAM");
        create.exec_async(&mut redis).await?;
        for start in (0..count).step_by(BATCH) {
            let mut batch = pipe();
            for _ in start..count.min(start + BATCH) {
                let entry =
                    batch.cmd("XADD").arg(REQUESTS).arg("*").arg("id").arg(uuid::Uuid::now_v7().to_string());
                entry.arg("reply_to").arg(REPLIES).arg("deadline").arg("1795255200000").arg("traceparent");
                entry.arg("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
                entry.arg("content_type").arg("application/json").arg("body");
                entry.arg(r#"{"city":"New York","location":"Downtown"}"#).ignore();
            }
            batch.exec_async(&mut redis).await.context("the history cannot be written")?;
        }
        let mut read = cmd("XGROUP");
        read.arg("SETID").arg(REQUESTS).arg(GROUP).arg("$").arg("ENTRIESREAD").arg(count);
        Ok(read.exec_async(&mut redis).await?)
    }

    /// How many entries the stream of requests holds.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn held(self) -> anyhow::Result<usize> {
        Ok(cmd("XLEN").arg(REQUESTS).query_async(&mut self.connect().await?).await?)
    }

    /// How many connections block in a read of streams.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn blocking_reads(self) -> anyhow::Result<usize> {
        let list: String = cmd("CLIENT").arg("LIST").query_async(&mut self.connect().await?).await?;
        Ok(list.lines().filter(|line| line.contains("cmd=xread")).count())
    }

    /// A group of a stream.
    ///
    /// # Errors
    /// There is none, or the server does not answer.
    pub async fn group(self, stream: &str, group: &str) -> anyhow::Result<StreamInfoGroup> {
        let groups: StreamInfoGroupsReply =
            cmd("XINFO").arg("GROUPS").arg(stream).query_async(&mut self.connect().await?).await?;
        let found = groups.groups.into_iter().find(|it| it.name == group);
        found.with_context(|| format!("the stream {stream} has no group {group}"))
    }

    async fn connect(self) -> anyhow::Result<MultiplexedConnection> {
        let patient =
            AsyncConnectionConfig::new().set_response_timeout(Some(std::time::Duration::from_secs(10)));
        let client = Client::open(self.url())?;
        client.get_multiplexed_async_connection_with_config(&patient).await.context("Redis does not answer")
    }
}

/// The sum of `calls=` over the lines of INFO commandstats, such as
/// `cmdstat_xadd:calls=12,usec=34,…`; subcommands are in their command's line already.
fn calls(text: &str) -> u64 {
    let lines = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
    let counted = lines.filter(|(name, _)| !["info", "client|setinfo", "client|setname"].contains(name));
    counted.filter_map(|(_, rest)| rest.split(',').next()?.parse::<u64>().ok()).sum()
}

impl Lab {
    /// Starts a Redis server without persistence, unless `options` say otherwise.
    ///
    /// # Errors
    /// It does not start.
    pub fn redis(&self, options: &[&str]) -> anyhow::Result<(Process, RedisAddress)> {
        let address = free_address()?;
        let folder = self.folder().join(format!("redis-{}", address.port()));
        std::fs::create_dir_all(&folder)?;
        let mut command = self.command(&self.options.redis_server);
        stack::redis::listen(command.as_std_mut(), address.port(), &folder);
        command.args(["--save", ""]).args(options);
        let mut process = Process::start(Role::Broker, command)?;
        process.until("Redis answers", || stack::redis::answers(address.port()))?;
        Ok((process, RedisAddress(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_counted_without_our_own_questions() {
        let info = "# Commandstats\r\ncmdstat_info:calls=9,usec=1\r\n\
                    cmdstat_xadd:calls=12,usec=34,usec_per_call=2.83\r\ncmdstat_xgroup|create:calls=1,usec=5\r\n";

        assert_eq!(calls(info), 13);
    }
}
