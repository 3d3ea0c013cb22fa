use redis::{Cmd, Value};

use super::{Error, ErrorKind, Redis};

/// A Lua script: several commands that Redis executes as one step.
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    /// A script from its source.
    pub fn new(source: &'static str) -> Self {
        Self { source, sha1: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Runs the script on `keys`, which are in one slot: by its hash, or by its
    /// source if the server does not know the script yet.
    ///
    /// # Errors
    /// The connection failed, or a command of the script failed; the commands after it were not executed.
    pub async fn run(&self, redis: &Redis, keys: &[&str], args: &[&[u8]]) -> Result<Value, Error> {
        match redis.command(&self.call("EVALSHA", &self.sha1, keys, args)).await {
            Err(error) if error.kind() == ErrorKind::NoScript => {
                redis.command(&self.call("EVAL", self.source, keys, args)).await
            }
            result => result,
        }
    }

    /// Runs the script as [`Script::run`] does, but on a connection for administrative work, so that the hot path does
    /// not wait for it.
    ///
    /// # Errors
    /// The same as for [`Script::run`].
    pub async fn run_aside(&self, redis: &Redis, keys: &[&str], args: &[&[u8]]) -> Result<Value, Error> {
        match redis.admin_command(&self.call("EVALSHA", &self.sha1, keys, args)).await {
            Err(error) if error.kind() == ErrorKind::NoScript => {
                redis.admin_command(&self.call("EVAL", self.source, keys, args)).await
            }
            result => result,
        }
    }

    fn call(&self, command: &str, script: &str, keys: &[&str], args: &[&[u8]]) -> Cmd {
        let mut cmd = redis::cmd(command);
        cmd.arg(script).arg(keys.len());
        for key in keys {
            cmd.arg(*key);
        }
        for arg in args {
            cmd.arg(*arg);
        }
        cmd
    }
}
