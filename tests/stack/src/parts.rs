//! The parts of a running stack: each starts when what it needs is ready; they stop in the reverse order.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use stack::Process;

use crate::stop::Stop;

/// The binaries give up after their own SHUTDOWN_GRACE, 30 s by default; only then is it our turn.
pub(crate) const GRACE: Duration = Duration::from_secs(35);
pub(crate) const REDIS_GRACE: Duration = Duration::from_secs(10);

/// Between two looks at a condition.
pub(crate) const PAUSE: Duration = Duration::from_millis(50);

/// The processes of a stack. None of them is left when this is dropped.
pub(crate) struct Parts {
    pub(crate) stop: Stop,
    running: Vec<(Process, Duration)>,
}

impl Parts {
    pub(crate) fn new(stop: Stop) -> Self {
        Self { stop, running: Vec::new() }
    }

    /// Adds a part, which gets `grace` to stop.
    pub(crate) fn add(&mut self, process: Process, grace: Duration) {
        self.stop.remember(process.pid());
        self.running.push((process, grace));
    }

    /// True if there is one.
    pub(crate) fn any(&self) -> bool {
        !self.running.is_empty()
    }

    /// An error if a stop was asked for, or a part ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.stop.check()?;
        self.running.iter_mut().try_for_each(|(process, _)| process.check())
    }

    /// A part that ended by itself, and how; it is no part any more.
    pub(crate) fn take_ended(&mut self) -> Option<(String, String)> {
        let at = self.running.iter_mut().position(|(process, _)| process.ended().is_some())?;
        let (mut process, _) = self.running.remove(at);
        self.stop.forget(process.pid());
        let how = process.check().err().map(|error| error.to_string()).unwrap_or_default();
        Some((process.name().to_owned(), how))
    }

    /// Waits until `ready`.
    pub(crate) fn until(
        &mut self,
        what: &str,
        patience: Duration,
        ready: impl Fn() -> bool,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        while !ready() {
            self.check()?;
            if started.elapsed() > patience {
                bail!("{what} was not ready after {} s", patience.as_secs());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Stops the last one first: nobody loses what the next one still needs.
    pub(crate) fn stop(&mut self, say: impl Fn(&str)) {
        while let Some((mut process, grace)) = self.running.pop() {
            if process.ended().is_none() {
                say(&format!("stopping {}", process.name()));
                if !process.stop(grace) {
                    let (name, grace) = (process.name(), grace.as_secs());
                    say(&format!("{name} did not stop within {grace} s: it was killed"));
                }
            }
            self.stop.forget(process.pid());
        }
    }
}

/// `program`, as one that a terminal's Ctrl-C does not reach and, on Linux, that ends with this process.
///
/// This process decides when and in which order the others stop.
pub(crate) fn held(program: &Path) -> anyhow::Result<Command> {
    if !program.is_file() {
        let name = program.file_name().unwrap_or_default().display();
        bail!("{} does not exist; build it with: cargo build --profile up -p {name}", program.display());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("hold").arg(std::process::id().to_string()).arg(program).stdin(Stdio::null());
    Ok(command)
}

/// Becomes `command` with a session of its own and, on Linux, SIGTERM when its parent is gone.
pub(crate) fn hold(parent: i32, command: &[OsString]) -> anyhow::Result<ExitCode> {
    nix::unistd::setsid()?;
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM)?;
    // It may have ended before.
    if nix::unistd::getppid().as_raw() != parent {
        bail!("the process that started this one is gone");
    }
    let (program, arguments) = command.split_first().context("nothing to become")?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("{program:?} cannot be started"))
}
