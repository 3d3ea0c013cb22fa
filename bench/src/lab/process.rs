//! One process of a deployment: started, pinned, ended with its owner.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

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
    process: stack::Process,
}

/// How long a process may take to get ready: loading and, on a busy machine, waiting.
pub const PATIENCE: Duration = Duration::from_secs(60);

impl Process {
    /// Starts `command`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(role: Role, command: Command) -> anyhow::Result<Self> {
        let process = stack::Process::start(role.name(), command.into_std())?;
        Ok(Self { role, pid: process.pid(), process })
    }

    /// Nothing, while it runs.
    ///
    /// # Errors
    /// It has ended; the last lines of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        self.process.check()
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// It has ended, or the condition does not hold for too long.
    pub fn until(&mut self, what: &str, condition: impl Fn() -> bool) -> anyhow::Result<()> {
        self.process.until(what, PATIENCE, |_| condition())
    }
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
        let command = match &self.processors {
            Some(processors) => {
                let mut pinned = stack::clean("taskset");
                pinned.arg("-c").arg(processors).arg(program.as_ref());
                pinned
            }
            None => stack::clean(program),
        };
        command.into()
    }
}
