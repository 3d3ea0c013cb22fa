//! One request over a connection of its own: to see whether somebody answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(2);

/// The status of the answer to a POST of `body`.
///
/// # Errors
/// There is no answer in time, or none that can be read.
pub async fn status(address: SocketAddr, path: &str, body: &str) -> anyhow::Result<u16> {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(PATIENCE, asking).await.context("no answer")??;
    let status = answer.get(9..12).and_then(|it| std::str::from_utf8(it).ok());
    status.and_then(|status| status.parse().ok()).context("no status")
}
