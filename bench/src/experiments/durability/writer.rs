//! Adds numbered entries, each when the one before is confirmed, until Redis is gone.

use std::net::SocketAddr;
use std::time::Instant;

use redis::cmd;
use tokio::task::JoinHandle;

use super::server::connect;

const BODY_BYTES: usize = 200;

/// A writer to a stream of its own.
pub(super) struct Writer(JoinHandle<Vec<Instant>>);

impl Writer {
    /// Begins to write.
    ///
    /// # Errors
    /// Redis does not answer.
    pub(super) async fn start(address: SocketAddr, stream: &str) -> anyhow::Result<Self> {
        let (mut redis, stream, body) = (connect(address).await?, stream.to_owned(), "x".repeat(BODY_BYTES));
        Ok(Self(tokio::spawn(async move {
            let mut confirmed = Vec::new();
            loop {
                let mut add = cmd("XADD");
                add.arg(&stream).arg("*").arg("n").arg(confirmed.len()).arg("body").arg(&body);
                if add.exec_async(&mut redis).await.is_err() {
                    return confirmed;
                }
                confirmed.push(Instant::now());
            }
        })))
    }

    /// When each entry was confirmed, by its number.
    ///
    /// # Errors
    /// The writer panicked.
    pub(super) async fn ended(self) -> anyhow::Result<Vec<Instant>> {
        Ok(self.0.await?)
    }
}
