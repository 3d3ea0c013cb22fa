use std::net::SocketAddr;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::clients::MARK;

/// Sends messages over one connection, one after the other or several at once.
pub(super) struct Sender {
    stream: BufReader<TcpStream>,
    request: String,
}

impl Sender {
    pub(super) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let content = format!("A message of usual length, as people write it {MARK}");
        let body =
            format!(r#"{{"userId":"u","userName":"Ann","userRole":"customer","content":"{content}"}}"#);
        let length = body.len();
        let head = format!(
            "POST /api/chat/send HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        Ok(Self { stream: BufReader::new(stream), request: head + &body })
    }

    /// Sends a message and waits until it is stored.
    pub(super) async fn send(&mut self) -> anyhow::Result<()> {
        self.send_some(1).await
    }

    /// Sends messages without waiting for the answers in between, then reads all answers.
    pub(super) async fn send_some(&mut self, count: usize) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(self.request.repeat(count).as_bytes()).await?;
        for _ in 0..count {
            self.answer().await?;
        }
        Ok(())
    }

    async fn answer(&mut self) -> anyhow::Result<()> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            anyhow::ensure!(self.stream.read_line(&mut head).await? > 0, "the chat closed the connection");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.context("an answer without a length")?];
        self.stream.read_exact(&mut body).await?;
        anyhow::ensure!(
            head.starts_with("HTTP/1.1 200"),
            "a message was refused: {head}{}",
            String::from_utf8_lossy(&body)
        );
        Ok(())
    }
}
