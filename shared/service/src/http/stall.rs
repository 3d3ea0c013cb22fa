use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use metrics::Counter;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream with a time limit for writes.
///
/// hyper has no such limit: a caller that sends requests and never reads would keep its connection,
/// and the answers in the buffer, for ever.
pub(super) struct Stalling<S> {
    inner: S,
    /// How long the peer may take no byte while a write waits.
    limit: Duration,
    /// The timer of the write that waits.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Counts the streams that were given up.
    given_up: Counter,
}

impl<S> Stalling<S> {
    pub(super) fn new(inner: S, limit: Duration, given_up: Counter) -> Self {
        Self { inner, limit, waiting: None, given_up }
    }

    /// Returns the result of a write. If the write has been pending for too long, it fails.
    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        self.given_up.increment(1);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stalling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stalling<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_is_given_up() {
        let (near, _far) = duplex(8);
        let mut stalling = Stalling::new(near, LIMIT, Counter::noop());
        let started = tokio::time::Instant::now();

        let written = stalling.write_all(&[0; 9]).await;

        assert_eq!(written.expect_err("given up").kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_slowly_is_not_given_up() {
        let (near, mut far) = duplex(1);
        let mut stalling = Stalling::new(near, LIMIT, Counter::noop());
        let reading = tokio::spawn(async move {
            let mut taken = [0; 5];
            for byte in &mut taken {
                tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
                *byte = far.read_u8().await.expect("there");
            }
            taken
        });

        stalling.write_all(b"hello").await.expect("written");

        assert_eq!(&reading.await.expect("joins"), b"hello");
    }
}
