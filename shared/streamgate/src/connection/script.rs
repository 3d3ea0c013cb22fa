use redis::{Cmd, Value};

use super::{Error, ErrorKind, Redis};

/// A Lua script: several commands that must not be torn apart.
pub struct Script {
    source: &'static str,
    sha1: String,
}

impl Script {
    /// A script from its source.
    pub fn new(source: &'static str) -> Self {
        Self { source, sha1: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Runs it on one key (and the further `keys` of the same slot), by its hash, or by its
    /// source where the server does not know it yet.
    ///
    /// # Errors
    /// The connection's, or the first error of a command in the script, after which nothing
    /// further in it was executed.
    pub async fn run(&self, redis: &Redis, keys: &[&str], args: &[&[u8]]) -> Result<Value, Error> {
        match redis.command(&self.call("EVALSHA", &self.sha1, keys, args)).await {
            Err(error) if error.kind() == ErrorKind::NoScript => {
                redis.command(&self.call("EVAL", self.source, keys, args)).await
            }
            result => result,
        }
    }

    /// Runs it as [`Script::run`] does, but on a connection for administrative work: nothing of the
    /// hot path waits behind it.
    ///
    /// # Errors
    /// As [`Script::run`].
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
