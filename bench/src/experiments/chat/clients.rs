//! Many clients of one event stream, as cheap as they can be: they only count the messages that they get.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// Each message has this byte once and nothing else on a stream has it, so a client counts bytes and parses nothing.
/// It is the last byte of [`MARK`] in UTF-8.
const MARK_BYTE: u8 = 0xac;
/// Stands in the content of each message.
pub(super) const MARK: &str = "💬";

/// Clients that connect at the same time.
const CONNECTING: usize = 64;
/// How long all may take to connect, or to get a message.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connected clients. They leave when this is dropped.
pub(super) struct Clients {
    count: usize,
    seen: Arc<Seen>,
    delivered: watch::Receiver<usize>,
    reading: JoinSet<anyhow::Result<()>>,
}

struct Seen {
    clients: usize,
    /// How many clients have got the nth message, as a ring: there are never more than its length under way.
    got: Vec<AtomicUsize>,
    /// All that was got.
    all: AtomicU64,
    /// How many messages every client has got.
    delivered: watch::Sender<usize>,
}

impl Seen {
    /// A client has got its nth message, counted from 0.
    fn got(&self, message: usize) {
        self.all.fetch_add(1, Ordering::Relaxed);
        let slot = &self.got[message % self.got.len()];
        if slot.fetch_add(1, Ordering::Relaxed) + 1 == self.clients {
            slot.store(0, Ordering::Relaxed);
            self.delivered.send_modify(|delivered| *delivered = (*delivered).max(message + 1));
        }
    }
}

impl Clients {
    /// Connects `count` clients and waits until each has its place on the stream. At most `under_way` messages may be
    /// on their way at a time.
    pub(super) async fn connect(address: SocketAddr, count: usize, under_way: usize) -> anyhow::Result<Self> {
        let (sender, delivered) = watch::channel(0);
        let got = (0..under_way * 2).map(|_| AtomicUsize::new(0)).collect();
        let seen = Arc::new(Seen { clients: count, got, all: AtomicU64::new(0), delivered: sender });
        let turns = Arc::new(Semaphore::new(CONNECTING));
        let (welcomed, mut welcome) = watch::channel(0);
        let mut reading = JoinSet::new();
        for number in 0..count {
            let (seen, turns, welcomed) = (Arc::clone(&seen), Arc::clone(&turns), welcomed.clone());
            reading.spawn(async move {
                let turn = turns.acquire_owned().await?;
                let mut stream = TcpStream::connect(address).await.context("a client cannot connect")?;
                let request =
                    format!("GET /api/chat/stream?userId=u{number} HTTP/1.1\r\nhost: bench\r\n\r\n");
                stream.write_all(request.as_bytes()).await?;
                let mut head = Vec::new();
                while !head.windows(8).any(|window| window == b": welcom") {
                    let read = next(&stream, |bytes| head.extend_from_slice(bytes)).await?;
                    anyhow::ensure!(read > 0, "refused: {}", String::from_utf8_lossy(&head));
                }
                drop(turn);
                welcomed.send_modify(|count| *count += 1);
                let mut message = 0;
                loop {
                    let count = |bytes: &[u8]| {
                        for _ in bytes.iter().filter(|byte| **byte == MARK_BYTE) {
                            seen.got(message);
                            message += 1;
                        }
                    };
                    anyhow::ensure!(next(&stream, count).await? > 0, "the stream of a client ended");
                }
            });
        }
        drop(welcomed);
        let mut clients = Self { count, seen, delivered, reading };
        let all = async { welcome.wait_for(|welcomed| *welcomed == count).await.map_err(|_| ()) };
        let here = tokio::time::timeout(PATIENCE, all).await.context("not all clients are connected")?;
        if here.is_err() {
            clients.check()?;
        }
        Ok(clients)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Messages got by all clients together.
    pub(super) fn got(&self) -> u64 {
        self.seen.all.load(Ordering::Relaxed)
    }

    /// Waits until every client has got `messages` messages; when that was.
    pub(super) async fn all_have(&mut self, messages: usize) -> anyhow::Result<Instant> {
        let waiting = self.delivered.wait_for(|delivered| *delivered >= messages);
        let waited = tokio::time::timeout(PATIENCE, waiting).await.map(|it| it.map(|_| ()));
        let now = Instant::now();
        self.check()?;
        waited.context("a message did not reach all clients")??;
        Ok(now)
    }

    /// An error if a client has ended.
    fn check(&mut self) -> anyhow::Result<()> {
        match self.reading.try_join_next() {
            Some(ended) => ended?.and_then(|()| anyhow::bail!("a client ended")),
            None => Ok(()),
        }
    }
}

/// Reads the bytes that have come. The buffer is on the stack during the read only, so a waiting client has none.
async fn next(stream: &TcpStream, mut take: impl FnMut(&[u8])) -> anyhow::Result<usize> {
    loop {
        stream.readable().await?;
        let mut buffer = [0; 16 << 10];
        match stream.try_read(&mut buffer) {
            Ok(read) => {
                take(&buffer[..read]);
                return Ok(read);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_has_the_mark_once() {
        let frame =
            serde_json::json!({"id": "1795817297012-0", "content": format!("hello {MARK}")}).to_string();

        assert_eq!(frame.bytes().filter(|byte| *byte == MARK_BYTE).count(), 1, "{frame}");
    }

    #[test]
    fn a_message_is_delivered_once_all_have_it() {
        let (sender, delivered) = watch::channel(0);
        let got = (0..4).map(|_| AtomicUsize::new(0)).collect();
        let seen = Seen { clients: 2, got, all: AtomicU64::new(0), delivered: sender };

        for message in 0..10 {
            seen.got(message);
            assert_eq!(*delivered.borrow(), message);
            seen.got(message);
            assert_eq!(*delivered.borrow(), message + 1);
        }
        assert_eq!(seen.all.load(Ordering::Relaxed), 20);
    }
}
