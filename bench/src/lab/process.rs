//! One process of a deployment: started, pinned, ended with its owner.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use super::Lab;

/// What a process does for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// It answers HTTP.
    Gateway,
    /// It carries messages: Redis or NATS.
    Broker,
    /// It does the work.
    Worker,
}

impl Role {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::Worker => "worker",
        }
    }
}

/// A running process. It ends when this is dropped.
pub struct Process {
    /// What it does.
    pub role: Role,
    /// Its process id.
    pub pid: u32,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, whose output goes to a log in the lab's folder.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(lab: &Lab, role: Role, mut command: Command) -> anyhow::Result<Self> {
        let name = format!("{}-{:06x}.log", role.name(), rand_suffix());
        let log = lab.folder().join(name);
        let output = File::create(&log).context("a log file")?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("{command:?} cannot be started"))?;
        let pid = child.id().context("it has ended at once")?;
        Ok(Self { role, pid, child, log })
    }

    /// Nothing, while it runs.
    ///
    /// # Errors
    /// It has ended; the last lines of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            bail!("the {} ended with {status}:\n{last}", self.role.name());
        }
        Ok(())
    }
}

fn rand_suffix() -> u128 {
    // The random part of a UUIDv7 is at its end.
    uuid::Uuid::now_v7().as_u128() & 0xff_ffff
}

impl Lab {
    /// One of the peers, by its name on the command line.
    pub fn peer(&self, name: &str) -> Command {
        let mut command = self.command(self.peers());
        command.arg(name);
        command
    }

    /// `program`, to be run where this lab's processes run, with an empty environment.
    ///
    /// taskset replaces itself with the program, so that the process id is the program's.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let program: &OsStr = program.as_ref().as_os_str();
        let mut command = match &self.processors {
            Some(processors) => {
                let mut pinned = Command::new("taskset");
                pinned.arg("-c").arg(processors).arg(program);
                pinned
            }
            None => Command::new(program),
        };
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}
