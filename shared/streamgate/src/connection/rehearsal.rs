//! Whether this user may do what the process is there for, found out before anybody's request depends on it.

use std::time::Duration;

use redis::{Cmd, Pipeline, Value};
use tokio_util::sync::CancellationToken;

use super::{Error, ErrorKind, Redis, checked};
use crate::telemetry::Latch;

/// Commands that do nothing, each standing for one that the process needs: the server looks at permissions
/// before it looks at arguments, so `XADD key 0-0` is denied to a user who may not add, and an error for
/// everybody else.
///
/// A process is not ready, and takes nothing on, while one of them is denied, or one of its keys has another
/// type. What ails the server as a whole (no memory, loading, no primary) is not looked at: circuit and
/// heartbeat do that.
#[derive(Default)]
pub struct Rehearsal {
    steps: Vec<(&'static str, Cmd)>,
}

/// How often it is performed while it passes; besides that, whenever a command is denied or meets a key of
/// another type.
const PERIOD: Duration = Duration::from_secs(15);

/// How often it is performed while it does not pass.
const RETRY: Duration = Duration::from_secs(1);

/// The last possible id of an entry: nothing is at it or behind it.
pub(crate) const LAST_ID: &str = "18446744073709551615-18446744073709551615";

/// What is wrong with one step: the command, and what the server says.
type Fault = (&'static str, String);

impl Rehearsal {
    /// Adds a step. `name` is the command's as an access control list has it: `xadd`, `xinfo|stream`.
    pub fn step(mut self, name: &'static str, words: &[&str]) -> Self {
        let mut cmd = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            cmd.arg(*word);
        });
        self.steps.push((name, cmd));
        self
    }

    /// Performs it again and again until `stop`, and sets `ready` by how it goes. What is wrong is logged
    /// once, and once more when it has changed.
    pub async fn keep(self, redis: Redis, ready: Latch, stop: CancellationToken) {
        let mut known = Vec::new();
        loop {
            let denied = redis.denied();
            // Without a node that serves, nothing is learned; others say so.
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
            // A node that does not serve one of the keys: whoever asks for that key says so.
            match checked(answer) {
                Err(error) if error.is_about_the_connection() => return Err(error),
                answer => answers.push(answer),
            }
        }
        let names = self.steps.iter().map(|(name, _)| *name);
        Ok(names.zip(answers).filter_map(|(name, answer)| Some((name, fault(answer)?))).collect())
    }
}

/// What is wrong for good, or until somebody mends it.
fn fault(answer: Result<Value, Error>) -> Option<String> {
    let error = answer.err()?;
    let text = error.message();
    let for_good = error.kind() == ErrorKind::NotPermitted
        || error.is_about_the_type()
        || text.contains("unknown command")
        || text.contains("unknown subcommand");
    for_good.then(|| text.to_owned())
}

fn report(faults: &[Fault], known: &[Fault]) {
    if faults == known {
        return;
    }
    if faults.is_empty() {
        tracing::info!("Redis lets this process do everything that it needs again");
    }
    for (error, commands) in by_error(faults.iter().filter(|fault| !known.contains(fault))) {
        tracing::error!(
            command = commands.join(", "),
            category = category(commands[0]),
            error,
            "Redis does not let this process do what it is there for; it is not ready and takes nothing on until that is mended (docs/OPERATIONS.md, \"Access control\")"
        );
    }
}

/// What the server says, each with the commands that it says it of: a key of another type fails many of them.
fn by_error<'a>(faults: impl Iterator<Item = &'a Fault>) -> Vec<(&'a str, Vec<&'static str>)> {
    let mut told: Vec<(&str, Vec<&str>)> = Vec::new();
    for (command, error) in faults {
        match told.iter_mut().find(|(known, _)| known == error) {
            Some((_, commands)) => commands.push(command),
            None => told.push((error, vec![*command])),
        }
    }
    told
}

/// The category that an access control list can grant a command by.
fn category(command: &str) -> &'static str {
    match command.split('|').next().unwrap_or(command) {
        "eval" | "evalsha" => "@scripting",
        "expire" => "@keyspace",
        "time" => "@fast",
        _ => "@stream",
    }
}
