//! The peers: a direct handler, and a gateway over NATS.

use std::net::TcpStream;

use stack::free_address;

use super::Lab;
use super::deployment::{Deployment, ECHO, FORECAST};
use super::gateway::Work;
use super::process::{Process, Role};

impl Lab {
    /// Starts a direct handler; `front` is `same` or `bare`.
    ///
    /// # Errors
    /// It does not get ready.
    pub async fn direct(&self, name: &str, front: &str) -> anyhow::Result<Deployment> {
        let address = free_address()?;
        let mut command = self.peer("direct");
        command.args(["--listen", &address.to_string(), "--front", front]);
        let processes = vec![Process::start(Role::Gateway, command)?];
        let (name, path) = (name.to_owned(), FORECAST);
        Deployment { name, addresses: vec![address], path, processes, redis: None }.ready().await
    }

    /// Starts a NATS server, a gateway and a worker; `front` is `same` or `bare`.
    ///
    /// # Errors
    /// A part of it does not get ready.
    pub async fn nats(&self, name: &str, front: &str, work: Work) -> anyhow::Result<Deployment> {
        let broker = free_address()?;
        let mut command = self.command(&self.options.nats_server);
        command.args(["--addr", "127.0.0.1", "--port", &broker.port().to_string()]);
        let mut server = Process::start(Role::Broker, command)?;
        server.until("NATS listens", || TcpStream::connect(broker).is_ok())?;

        let url = format!("nats://{broker}");
        let (kind, path) = match work {
            Work::Forecast => ("forecast", FORECAST),
            Work::Echo => ("echo", ECHO),
        };
        let mut worker = self.peer("nats-worker");
        worker.args(["--nats", &url, "--work", kind]);
        let address = free_address()?;
        let mut gateway = self.peer("nats-gateway");
        gateway.args(["--nats", &url, "--listen", &address.to_string(), "--front", front]);
        let processes =
            vec![server, Process::start(Role::Worker, worker)?, Process::start(Role::Gateway, gateway)?];
        Deployment { name: name.to_owned(), addresses: vec![address], path, processes, redis: None }
            .ready()
            .await
    }
}
