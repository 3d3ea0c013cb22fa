//! The raw Redis cycle as a target: `bench-peer cycle` is the load and the worker at once.

use anyhow::Context;

use super::Lab;
use super::redis::RedisAddress;
use super::wrk::Seen;

impl Lab {
    /// Runs cycles of `batch` requests against `redis` for `seconds`.
    ///
    /// # Errors
    /// It fails.
    pub async fn cycle(&self, redis: RedisAddress, batch: usize, seconds: u32) -> anyhow::Result<Seen> {
        let mut command = self.peer("cycle");
        command.args(["--redis", &redis.url(), "--batch", &batch.to_string()]);
        command.args(["--seconds", &seconds.to_string()]).kill_on_drop(true);
        let output = command.output().await.context("bench-peer cycle cannot be started")?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("bench-peer cycle failed: {}", String::from_utf8_lossy(&output.stderr)))
    }
}
