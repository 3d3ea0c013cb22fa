//! Checks whether the Redis user may run every command that the process needs, before a request depends on it.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio_util::sync::CancellationToken;

use super::{Error, ErrorKind, Redis, checked};
use crate::telemetry::Latch;

/// A list of commands without effect, one for each command that the process needs. The server checks permissions
/// before arguments: for a user without XADD, `XADD key 0-0` is denied; for every other user, it is an error in the
/// arguments and has no effect.
///
/// While one of the commands is denied, or one of the keys has another type, the process is not ready and takes no
/// work. Faults of the whole server (no memory, loading, no primary) are left to the circuit breaker and the
/// heartbeat.
#[derive(Default)]
pub struct Rehearsal {
    steps: Vec<(&'static str, Cmd)>,
}

/// Period of the rehearsal while it passes. It is also performed when a command is denied or meets a key of
/// another type.
const PERIOD: Duration = Duration::from_secs(15);

/// Period of the rehearsal while it does not pass.
const RETRY: Duration = Duration::from_secs(1);

/// The last possible id of an entry: no entry has it or a later one.
pub(crate) const LAST_ID: &str = "18446744073709551615-18446744073709551615";

/// What is wrong with one step: the command, and the error text of the server.
type Fault = (&'static str, String);

impl Rehearsal {
    /// Adds a step. `name` is the command's name in an access control list: `xadd`, `xinfo|stream`.
    pub fn step(mut self, name: &'static str, words: &[&str]) -> Self {
        let mut cmd = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            cmd.arg(*word);
        });
        self.steps.push((name, cmd));
        self
    }

    /// Performs the rehearsal periodically until `stop`, and sets `ready` while it passes. Faults are logged once, and
    /// again when they change.
    pub async fn keep(self, redis: Redis, ready: Latch, stop: CancellationToken) {
        let mut known = Vec::new();
        loop {
            let denied = redis.denied();
            // If no node serves, nothing is learned here; the heartbeat logs it.
            let performed = self.perform(&redis).await;
            ready.set(performed.as_ref().is_ok_and(Vec::is_empty));
            if let Ok(faults) = &performed {
                report(faults, &known);
                known.clone_from(faults);
            }
            let passed = performed.is_ok_and(|faults| faults.is_empty());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
            if passed {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(PERIOD) => {}
                    () = denied => {}
                }
            }
        }
    }

    async fn perform(&self, redis: &Redis) -> Result<Vec<Fault>, Error> {
        let mut pipeline = Pipeline::with_capacity(self.steps.len());
        self.steps.iter().for_each(|(_, cmd)| {
            pipeline.add_command(cmd.clone());
        });
        let mut answers = Vec::with_capacity(self.steps.len());
        for answer in redis.pipeline(&pipeline).await? {
            // The node does not serve one of the keys: the part that uses the key logs it.
            match checked(answer) {
                Err(error) if error.is_about_the_connection() => return Err(error),
                answer => answers.push(answer),
            }
        }
        let names = self.steps.iter().map(|(name, _)| *name);
        Ok(names.zip(answers).filter_map(|(name, answer)| Some((name, fault(answer)?))).collect())
    }
}

/// The fault in an answer, if it stays until a person repairs it.
fn fault(answer: Result<Value, Error>) -> Option<String> {
    let error = answer.err()?;
    let text = error.message();
    let stays = error.kind() == ErrorKind::NotPermitted
        || error.is_about_the_type()
        || text.contains("unknown command")
        || text.contains("unknown subcommand");
    stays.then(|| text.to_owned())
}

fn report(faults: &[Fault], known: &[Fault]) {
    if faults == known {
        return;
    }
    if faults.is_empty() {
        tracing::info!("Redis permits every command that this process needs again");
    }
    for (error, commands) in by_error(faults.iter().filter(|fault| !known.contains(fault))) {
        tracing::error!(
            command = commands.join(", "),
            category = category(commands[0]),
            error,
            "Redis does not let this process run a command that it needs; the process is not ready and takes no work until this is repaired (docs/OPERATIONS.md, \"Access control\")"
        );
    }
}

/// Groups faults by error text, each with its commands: a key of another type makes many commands fail.
fn by_error<'a>(faults: impl Iterator<Item = &'a Fault>) -> Vec<(&'a str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (command, error) in faults {
        match groups.iter_mut().find(|(known, _)| known == error) {
            Some((_, commands)) => commands.push(command),
            None => groups.push((error, vec![*command])),
        }
    }
    groups
}

/// The category by which an access control list can grant a command.
fn category(command: &str) -> &'static str {
    match command.split('|').next().unwrap_or(command) {
        "eval" | "evalsha" => "@scripting",
        "expire" => "@keyspace",
        "time" => "@fast",
        _ => "@stream",
    }
}
