//! One gateway and one worker on a Redis that is killed.

use stack::free_address;

use super::super::loadtest::Load;
use super::server::Server;
use crate::lab::Lab;
use crate::lab::deployment::{Deployment, FORECAST};
use crate::lab::process::{Process, Role};

/// What callers ask, and the Redis behind it.
pub(super) struct Target<'a> {
    lab: &'a Lab,
    deployment: Deployment,
    pub(super) server: Server<'a>,
}

impl<'a> Target<'a> {
    /// Starts gateway and worker, both with these settings.
    ///
    /// # Errors
    /// One of them does not get ready.
    pub(super) async fn start(
        lab: &'a Lab,
        server: Server<'a>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let command = |name| {
            let mut command = lab.command(lab.binary(name));
            command.env("RUST_LOG", "off").env("REDIS_URL", format!("redis://{}", server.address));
            command.envs(settings.iter().copied());
            command
        };
        let mut proxy = command("proxy");
        proxy.env("WEATHER_PROVIDER", "simulated").env("PROXY_LISTEN", "127.0.0.1:0");
        let mut ingress = command("ingress");
        ingress.env("INGRESS_LISTEN", address.to_string()).env("INGRESS_ADMIN_LISTEN", "127.0.0.1:0");
        let processes = vec![Process::start(Role::Worker, proxy)?, Process::start(Role::Gateway, ingress)?];
        let name = "gateway".to_owned();
        let deployment =
            Deployment { name, addresses: vec![address], path: FORECAST, processes, redis: None };
        Ok(Self { lab, deployment: deployment.ready().await?, server })
    }

    /// Begins a load on the gateway.
    pub(super) fn load(&self, arguments: &[&str]) -> anyhow::Result<Load> {
        Load::start(self.lab, self.deployment.addresses[0], arguments)
    }

    /// Nothing, while everything runs.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.server.check()?;
        self.deployment.processes.iter_mut().try_for_each(Process::check)
    }
}
