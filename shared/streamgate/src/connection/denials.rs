//! What the user of this process may not do in Redis.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use redis::{Cmd, Value};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Error, ErrorKind, Redis};

/// What was denied so far.
#[derive(Default)]
pub(super) struct Denials {
    /// Raised when a command is denied or meets a key of another type: what a process needs is looked
    /// through then.
    denied: Notify,
    /// Commands that can be done without.
    done_without: Mutex<HashSet<&'static str>>,
}

impl Redis {
    /// Sends a command that a process can do without, on a connection of the pool: `None` if the user may
    /// not run it. `name` is the command's as an access control list has it; the log says once that it is
    /// denied, and what happens `instead`.
    ///
    /// # Errors
    /// The connection's or the server's.
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

    /// Says once that the user may not run a command, and what happens `instead`.
    pub(super) fn does_without(&self, name: &'static str, instead: &'static str) {
        if self.denials().done_without.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
            tracing::warn!(
                command = name,
                instead,
                "this Redis user may not run a command; the process does without it"
            );
        }
    }

    /// Passes an error on to whoever looks after permissions, if it is about what that one looks at.
    pub(super) fn heard(&self, error: &Error) {
        if error.kind() == ErrorKind::NotPermitted || error.is_about_the_type() {
            self.denials().denied.notify_waiters();
        }
    }

    /// Completes when a command is denied, or meets a key of another type, from now on.
    pub(super) fn denied(&self) -> Notified<'_> {
        self.denials().denied.notified()
    }
}
