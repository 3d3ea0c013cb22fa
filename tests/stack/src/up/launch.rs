//! The processes of a run, started one after the other and ended together.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use stack::{Process, redis};

use super::earlier::Record;
use super::server::Server;
use crate::parts::{Parts, REDIS_GRACE};
use crate::stop::{Interrupted, Stop};
use crate::terminal::{say, show};

/// Redis reads what it held first.
const LOADING_PATIENCE: Duration = Duration::from_secs(60);

/// A run of `stack up` or `stack system`.
pub(crate) struct Launch {
    /// Where servers keep their data, and the record of this run.
    pub(crate) data: PathBuf,
    pub(crate) parts: Parts,
    /// Lines of processes are shown as they come; otherwise, only those of one that failed.
    pub(crate) shows_lines: bool,
    record: Record,
}

impl Launch {
    pub(crate) fn new(data: PathBuf, stop: Stop) -> Self {
        let record = Record::new(&data);
        Self { data, parts: Parts::new(stop), shows_lines: true, record }
    }

    /// Starts Redis, whose data stays, and waits until it answers.
    pub(crate) fn redis(&mut self, port: u16) -> anyhow::Result<()> {
        let server = Server::find(&self.data)?;
        self.start("redis", "redis", server.command(port)?, REDIS_GRACE)?;
        let what = format!("Redis on port {port} with the data in {}", server.folder.display());
        self.parts.until(&what, LOADING_PATIENCE, || redis::answers(port))?;
        Ok(server.sign()?)
    }

    /// Starts a part whose lines are shown behind its name. `program` is what the system calls its process.
    pub(crate) fn start(
        &mut self,
        name: &'static str,
        program: &str,
        command: Command,
        grace: Duration,
    ) -> anyhow::Result<()> {
        let process = match self.shows_lines {
            true => Process::start_with(name, command, move |line| show(name, line))?,
            false => Process::start(name, command)?,
        };
        self.record.add(program, process.pid())?;
        self.parts.add(process, grace);
        Ok(())
    }

    /// Stops everything and says why, if there is something to say.
    pub(crate) fn end(mut self, outcome: anyhow::Result<ExitCode>) -> ExitCode {
        let code = match &outcome {
            Ok(code) => *code,
            Err(error) if error.is::<Interrupted>() => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
        if let Some(text) = outcome.err().map(|error| format!("{error:#}")).filter(|text| !text.is_empty()) {
            say(&text);
        }
        let tells = self.parts.any() && self.shows_lines;
        self.parts.stop(|text| {
            if tells {
                say(text)
            }
        });
        self.record.remove();
        if tells {
            say("stopped");
        }
        code
    }
}
