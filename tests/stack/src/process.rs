//! One process: started, read, signalled, and ended with its owner.

use std::io::{BufRead, BufReader, PipeReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long a process may take unless the caller says otherwise: a debug build on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// How much of a log tells why its process ended.
const LAST_LINES: usize = 15;

/// A running process. It is killed when this is dropped.
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    log_reader: Arc<Mutex<LogReader>>,
    reading: JoinHandle<()>,
}

/// What becomes of a process's log, from the next line on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogReader {
    /// Each line is read as it comes.
    Reads,
    /// Nobody reads the pipe, so that it fills.
    Sleeps,
    /// The pipe is closed.
    Leaves,
}

/// `program`, to be run with an empty environment, except for PATH, and with nothing to read.
pub fn clean(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).stdin(Stdio::null());
    command
}

impl Process {
    /// Starts `command` and keeps every line that it writes.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: Command) -> anyhow::Result<Self> {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        let mut process = Self::start_with(name, command, move |line| lock(&lines).push(line.to_owned()))?;
        process.log = log;
        Ok(process)
    }

    /// Starts `command` and hands each line that it writes to `on_line`, keeping none.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_with(
        name: &str,
        mut command: Command,
        on_line: impl FnMut(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (reader, writer) = std::io::pipe().context("no pipe for a log")?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let spawned = command.spawn();
        let child = spawned.with_context(|| format!("{:?} cannot be started", command.get_program()))?;
        let log_reader = Arc::new(Mutex::new(LogReader::Reads));
        let state = Arc::clone(&log_reader);
        let reading = thread::spawn(move || read(reader, &state, on_line));
        Ok(Self { name: name.to_owned(), child, log: Arc::default(), log_reader, reading })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        lock(&self.log).join("\n")
    }

    /// The first text logged under `field`, if it logs JSON.
    pub fn logged(&self, field: &str) -> Option<String> {
        lock(&self.log).iter().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            line[field].as_str().map(str::to_owned)
        })
    }

    /// Says what becomes of its log from the next line on.
    pub fn log_reader(&self, reader: LogReader) {
        *lock(&self.log_reader) = reader;
    }

    /// Sends it a signal, unless it has ended.
    pub fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id() as i32), signal);
    }

    /// How it ended; `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end; `None` if it still runs after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        while self.ended().is_none() && started.elapsed() < patience {
            thread::sleep(PAUSE);
        }
        self.ended()
    }

    /// Asks it to end (SIGTERM) and kills it if it has not after `grace`; true if it ended by itself.
    pub fn stop(&mut self, grace: Duration) -> bool {
        self.signal(Signal::SIGTERM);
        let ended = self.wait(grace).is_some();
        self.kill();
        self.finish_reading();
        ended
    }

    /// Nothing, while it runs.
    ///
    /// # Errors
    /// It has ended: how, and the last lines of its log.
    pub fn check(&mut self) -> anyhow::Result<()> {
        let Some(status) = self.ended() else { return Ok(()) };
        self.finish_reading();
        bail!("{} ended by itself ({}){}", self.name, described(status), self.last_lines());
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// It has ended, or the condition does not hold within `patience`.
    pub fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut condition: impl FnMut(&Self) -> bool,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        while !condition(self) {
            self.check()?;
            if started.elapsed() > patience {
                bail!("not within {patience:?}: {what}{}", self.last_lines());
            }
            thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Waits until it has logged each of `fields`, and tells their values: this is how the product's processes
    /// name the addresses that they bound.
    ///
    /// # Errors
    /// It has ended, or does not name them within [`PATIENCE`].
    pub fn named(&mut self, fields: &[&str]) -> anyhow::Result<Vec<String>> {
        let mut values = Vec::new();
        self.until("the process names its addresses", PATIENCE, |process| {
            values = fields.iter().filter_map(|field| process.logged(field)).collect();
            values.len() == fields.len()
        })?;
        Ok(values)
    }

    /// As the end of a sentence; nothing if its lines went elsewhere.
    fn last_lines(&self) -> String {
        let log = lock(&self.log);
        let last: Vec<_> =
            log.iter().skip(log.len().saturating_sub(LAST_LINES)).map(String::as_str).collect();
        if last.is_empty() { String::new() } else { format!("; its last lines:\n  {}", last.join("\n  ")) }
    }

    /// The log is read a moment after it is written; what the process left running may keep it open.
    fn finish_reading(&self) {
        let started = Instant::now();
        while !self.reading.is_finished() && started.elapsed() < Duration::from_secs(1) {
            thread::sleep(PAUSE);
        }
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read(log: PipeReader, state: &Mutex<LogReader>, mut on_line: impl FnMut(&str)) {
    let mut log = BufReader::new(log);
    let mut line = Vec::new();
    while let Ok(1..) = log.read_until(b'\n', &mut line) {
        on_line(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']));
        line.clear();
        while *lock(state) == LogReader::Sleeps {
            thread::sleep(PAUSE);
        }
        if *lock(state) == LogReader::Leaves {
            return;
        }
    }
}

fn described(status: ExitStatus) -> String {
    match status.signal().map(Signal::try_from) {
        Some(Ok(signal)) => signal.to_string(),
        _ => format!("exit code {}", status.code().unwrap_or_default()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = clean("sh");
        command.arg("-c").arg(script);
        Process::start("script", command).expect("a shell")
    }

    #[test]
    fn a_process_tells_the_addresses_it_logs() {
        let mut process = shell(r#"echo no JSON; echo '{"api":"a:1","admin":"b:2"}'; sleep 60"#);

        assert_eq!(process.named(&["admin", "api"]).expect("named"), ["b:2", "a:1"]);
    }

    #[test]
    fn a_process_that_ended_is_told_with_its_last_words() {
        let mut process = shell("echo out of luck >&2; exit 3");

        let error = process.named(&["api"]).expect_err("it ends").to_string();

        assert_eq!(error, "script ended by itself (exit code 3); its last lines:\n  out of luck");
        let mut killed = shell("kill -9 $$");
        assert!(killed.wait(PATIENCE).is_some());
        assert_eq!(killed.check().expect_err("it ended").to_string(), "script ended by itself (SIGKILL)");
    }

    #[test]
    fn a_process_starts_with_an_environment_of_its_own() {
        let process = &mut shell("env; echo done; sleep 60");
        process.until("the end", PATIENCE, |process| process.log().contains("done")).expect("it runs");

        let log = process.log();
        let foreign = log.lines().find(|line| line.starts_with("CARGO"));
        assert_eq!(foreign, None);
    }

    #[test]
    fn a_process_that_ignores_the_request_to_stop_is_killed() {
        let mut process = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
        process.until("it is ready", PATIENCE, |process| process.log().contains("ready")).expect("it runs");

        assert!(!process.stop(Duration::from_millis(200)));
        assert!(process.ended().is_some());
    }
}
