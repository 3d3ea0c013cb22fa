//! Commands that the Redis user of this process may not run.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use redis::{Cmd, Value};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Error, ErrorKind, Redis};

/// The commands denied so far.
#[derive(Default)]
pub(super) struct Denials {
    /// Notified when a command is denied or meets a key of another type. The rehearsal then checks all commands.
    denied: Notify,
    /// Optional commands that are denied and were logged.
    done_without: Mutex<HashSet<&'static str>>,
}

impl Redis {
    /// Sends a command that the process does not strictly need, on a connection of the pool: `None` if the user may
    /// not run it. `name` is the command's name in an access control list. The log says once that the command is
    /// denied, and what happens `instead`.
    ///
    /// # Errors
    /// The connection failed, or the server refused the command.
    pub async fn optional(
        &self,
        cmd: &Cmd,
        name: &'static str,
        instead: &'static str,
    ) -> Result<Option<Value>, Error> {
        match self.admin_command(cmd).await {
            Err(error) if error.kind() == ErrorKind::NotPermitted => {
                self.does_without(name, instead);
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Logs once that the user may not run a command, and what happens `instead`.
    pub(super) fn does_without(&self, name: &'static str, instead: &'static str) {
        if self.denials().done_without.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
            tracing::warn!(
                command = name,
                instead,
                "this Redis user may not run a command; the process does without it"
            );
        }
    }

    /// Notifies the rehearsal if `error` is about permissions or the type of a key.
    pub(super) fn note_denial(&self, error: &Error) {
        if error.kind() == ErrorKind::NotPermitted || error.is_about_the_type() {
            self.denials().denied.notify_waiters();
        }
    }

    /// Completes when, from now on, a command is denied or meets a key of another type.
    pub(super) fn denied(&self) -> Notified<'_> {
        self.denials().denied.notified()
    }
}
