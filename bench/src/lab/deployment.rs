//! Processes that answer together.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::client;
use super::process::{PATIENCE, Process};
use super::redis::RedisAddress;

/// A gateway, a handler or a peer, with all it needs. It ends when this is dropped.
pub struct Deployment {
    /// Its name in results.
    pub name: String,
    /// Where callers go: an address for each replica.
    pub addresses: Vec<SocketAddr>,
    /// What callers ask for.
    pub path: &'static str,
    /// What runs.
    pub processes: Vec<Process>,
    /// Its Redis, if it has one.
    pub redis: Option<RedisAddress>,
}

/// The path of the forecast.
pub const FORECAST: &str = "/WeatherForecast/city";
/// The path of the echo.
pub const ECHO: &str = "/echo";
/// The usual body.
pub const QUESTION: &str = r#"{"city":"New York","location":"Downtown"}"#;

const PAUSE: Duration = Duration::from_millis(20);

impl Deployment {
    /// Waits until each address answers the usual question.
    ///
    /// # Errors
    /// A process has ended, or there is no answer for too long.
    pub async fn ready(mut self) -> anyhow::Result<Self> {
        let started = Instant::now();
        for &address in &self.addresses {
            while client::status(address, self.path, QUESTION).await.ok() != Some(200) {
                self.processes.iter_mut().try_for_each(Process::check)?;
                if started.elapsed() > PATIENCE {
                    bail!("{} does not answer within {PATIENCE:?}", self.name);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(self)
    }

    /// The process ids.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.processes.iter().map(|process| process.pid)
    }
}
