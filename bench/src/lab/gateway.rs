//! The product, as it is deployed: a Redis, ingress replicas, workers.

use std::path::{Path, PathBuf};

use stack::free_address;

use super::Lab;
use super::deployment::{Deployment, ECHO, FORECAST};
use super::process::{Process, Role};
use super::redis::RedisAddress;

/// How the product is deployed.
#[derive(Debug, Clone)]
pub struct Gateway<'a> {
    /// Its name in results.
    pub name: String,
    /// Where its binaries are, if not where the lab's are.
    pub binaries: Option<&'a Path>,
    /// How many ingress processes; several have a reply lane each.
    pub replicas: usize,
    /// How many proxy processes.
    pub workers: usize,
    /// What is done.
    pub work: Work,
    /// Settings of ingress that are not the default.
    pub ingress: Vec<(&'a str, String)>,
    /// Settings of the proxies that are not the default.
    pub proxy: Vec<(&'a str, String)>,
    /// Settings of Redis that are not the default.
    pub redis: Vec<&'a str>,
    /// Finished requests that are on the stream before anybody asks.
    pub history: usize,
}

/// The name of the other build in results.
pub const BASELINE: &str = "baseline";

/// What a gateway's workers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Forecasts: the product's own binaries.
    Forecast,
    /// Echoes: the product's engine with bodies passed through both ways.
    Echo,
}

impl Default for Gateway<'_> {
    fn default() -> Self {
        Self {
            name: "gateway".to_owned(),
            binaries: None,
            replicas: 1,
            workers: 1,
            work: Work::Forecast,
            ingress: Vec::new(),
            proxy: Vec::new(),
            redis: Vec::new(),
            history: 0,
        }
    }
}

impl Gateway<'_> {
    fn binary(&self, lab: &Lab, name: &str) -> PathBuf {
        self.binaries.map_or_else(|| lab.binary(name), |folder| folder.join(name))
    }
}

impl Lab {
    /// A gateway of the other build, if there is one to be measured with.
    ///
    /// # Errors
    /// A part of it does not get ready.
    pub async fn baseline(&self) -> anyhow::Result<Option<Deployment>> {
        let Some(binaries) = self.options.baseline.as_deref() else { return Ok(None) };
        let how = Gateway { name: BASELINE.to_owned(), binaries: Some(binaries), ..Gateway::default() };
        Ok(Some(self.gateway(how).await?))
    }

    /// Starts a gateway.
    ///
    /// # Errors
    /// A part of it does not get ready.
    pub async fn gateway(&self, how: Gateway<'_>) -> anyhow::Result<Deployment> {
        let (server, redis) = self.redis(&how.redis)?;
        if how.history > 0 {
            redis.fill(how.history).await?;
        }
        let mut processes = vec![server];
        for _ in 0..how.workers {
            processes.push(self.proxy(&how, redis)?);
        }
        let mut addresses = Vec::new();
        for number in 1..=how.replicas {
            let address = free_address()?;
            let process = match how.work {
                Work::Forecast => self.ingress(&how, redis, number, address)?,
                Work::Echo => self.echo_gateway(redis, address)?,
            };
            processes.push(process);
            addresses.push(address);
        }
        let path = if how.work == Work::Echo { ECHO } else { FORECAST };
        Deployment { name: how.name, addresses, path, processes, redis: Some(redis) }.ready().await
    }

    fn ingress(
        &self,
        how: &Gateway<'_>,
        redis: RedisAddress,
        number: usize,
        address: std::net::SocketAddr,
    ) -> anyhow::Result<Process> {
        let mut command = self.command(how.binary(self, "ingress"));
        command.env("RUST_LOG", "warn").env("REDIS_URL", redis.url());
        command.env("INGRESS_LISTEN", address.to_string()).env("INGRESS_ADMIN_LISTEN", "127.0.0.1:0");
        if how.replicas > 1 {
            command.env("INGRESS_REPLICA", format!("r{number}"));
        }
        command.envs(self.options.ingress.iter().cloned());
        command.envs(how.ingress.iter().map(|(name, value)| (*name, value)));
        Process::start(Role::Gateway, command)
    }

    fn proxy(&self, how: &Gateway<'_>, redis: RedisAddress) -> anyhow::Result<Process> {
        let mut command = match how.work {
            Work::Forecast => self.command(how.binary(self, "proxy")),
            Work::Echo => self.peer("echo-worker"),
        };
        command.env("RUST_LOG", "warn").env("REDIS_URL", redis.url()).env("PROXY_LISTEN", "127.0.0.1:0");
        command.envs(self.options.proxy.iter().cloned());
        command.envs(how.proxy.iter().map(|(name, value)| (*name, value)));
        Process::start(Role::Worker, command)
    }

    fn echo_gateway(&self, redis: RedisAddress, address: std::net::SocketAddr) -> anyhow::Result<Process> {
        let mut command = self.peer("echo-gateway");
        command.args(["--listen", &address.to_string(), "--redis", &redis.url()]);
        Process::start(Role::Gateway, command)
    }
}
