//! A Redis that is killed, and started again on what it left.

use std::collections::HashSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use redis::aio::MultiplexedConnection;
use redis::streams::StreamRangeReply;
use redis::{AsyncConnectionConfig, Client, cmd, from_redis_value};
use stack::free_address;
use tokio::time::sleep;

use super::setting::Setting;
use crate::lab::Lab;
use crate::lab::process::{PATIENCE, Process, Role};

/// How long a slow sync is waited for.
pub(super) const SYNC_PATIENCE: Duration = Duration::from_secs(5);
/// A sync that takes this long is slow.
const SLOW_SYNC: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(5);
/// With a busy disk each command may wait for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Entries read at once.
const BATCH: usize = 5_000;

/// The server. It ends, with any child that saves for it, when this is dropped.
pub(super) struct Server<'a> {
    lab: &'a Lab,
    pub(super) address: SocketAddr,
    folder: PathBuf,
    options: &'static [&'static str],
    process: Option<Process>,
}

impl<'a> Server<'a> {
    /// Starts a server on an empty folder.
    ///
    /// # Errors
    /// It does not start.
    pub(super) async fn start(lab: &'a Lab, setting: &Setting, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let (address, folder) = (free_address()?, folder.to_owned());
        let mut server = Self { lab, address, folder, options: setting.options, process: None };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it on what it left.
    pub(super) async fn restart(&mut self) -> anyhow::Result<()> {
        let mut command = self.lab.command(&self.lab.options.redis_server);
        stack::redis::listen(command.as_std_mut(), self.address.port(), &self.folder);
        command.args(self.options);
        command.args(["--maxmemory-policy", "noeviction"]).process_group(0);
        let process = self.process.insert(Process::start(Role::Broker, command)?);
        let started = Instant::now();
        // Callers of this process wait meanwhile.
        while answers(self.address).await.is_err() {
            process.check()?;
            anyhow::ensure!(started.elapsed() < PATIENCE, "Redis does not answer within {PATIENCE:?}");
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Kills it with any child that saves for it; returns when.
    pub(super) async fn kill(&mut self) -> Instant {
        let at = Instant::now();
        if let Some(mut process) = self.process.take() {
            kill_group(&process);
            while process.check().is_ok() {
                sleep(PAUSE).await;
            }
        }
        at
    }

    /// Nothing, while it runs.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// Waits until a sync is under way and does not end soon, or for as long as is worth it.
    pub(super) async fn slow_sync(&self) -> anyhow::Result<()> {
        let mut redis = connect(self.address).await?;
        let (started, mut began) = (Instant::now(), None);
        while started.elapsed() < SYNC_PATIENCE {
            let info: String = cmd("INFO").arg("persistence").query_async(&mut redis).await?;
            if !info.contains("aof_pending_bio_fsync:1") {
                began = None;
            } else if began.get_or_insert_with(Instant::now).elapsed() > SLOW_SYNC {
                break;
            }
            sleep(PAUSE).await;
        }
        Ok(())
    }

    /// The numbers of the entries that are on the stream.
    pub(super) async fn numbers(&self, stream: &str) -> anyhow::Result<HashSet<usize>> {
        let mut redis = connect(self.address).await?;
        let (mut numbers, mut start) = (HashSet::new(), "-".to_owned());
        loop {
            let mut range = cmd("XRANGE");
            range.arg(stream).arg(&start).arg("+").arg("COUNT").arg(BATCH);
            let entries: StreamRangeReply = range.query_async(&mut redis).await?;
            let Some(last) = entries.ids.last() else { return Ok(numbers) };
            start = format!("({}", last.id);
            for mut entry in entries.ids {
                let number = entry.map.remove("n").context("an entry has no number")?;
                numbers.insert(from_redis_value::<usize>(number)?);
            }
        }
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            kill_group(process);
        }
    }
}

fn kill_group(process: &Process) {
    // It may have ended by itself.
    let _ = killpg(Pid::from_raw(process.pid.cast_signed()), Signal::SIGKILL);
}

/// A connection that is patient with a busy disk.
pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<MultiplexedConnection> {
    let patient = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN));
    let client = Client::open(format!("redis://{address}"))?;
    Ok(client.get_multiplexed_async_connection_with_config(&patient).await?)
}

/// Not while it reads what it left.
async fn answers(address: SocketAddr) -> anyhow::Result<()> {
    Ok(cmd("PING").exec_async(&mut connect(address).await?).await?)
}
