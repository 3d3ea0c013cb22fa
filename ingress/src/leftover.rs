//! What a caller still sends when its request is answered already.
//!
//! A refusal need not wait for the body. But a caller that writes its body to the end before it
//! listens, over HTTP/1, finds the connection reset if nobody reads on, and never hears why it was
//! refused. So whoever drops a body half read leaves the rest to a task, which reads and forgets
//! it for a while, beside the answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::Instant;

/// How much of a body is read only to be thrown away, in bytes.
const DISCARDED: usize = 32 << 20;

/// Sees to the rest of the body of `request`, for at most `time` from now.
pub fn see_to(request: Request, time: Duration) -> Request {
    // HTTP/2 ends one stream without the others. Who expects a 100 sends nothing before it.
    let alone = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    if !alone || request.body().is_end_stream() {
        return request;
    }
    let until = Instant::now() + time;
    request.map(|body| Body::new(Watched { body, until, left: DISCARDED, ended: false }))
}

/// A body that is read on when it is dropped before its end.
struct Watched {
    body: Body,
    until: Instant,
    /// Bytes that may still be read.
    left: usize,
    ended: bool,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.left = self.left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            }
            Poll::Ready(_) => self.ended = true,
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.ended || self.left == 0 || self.body.is_end_stream() || self.until <= Instant::now() {
            return;
        }
        // Outside a runtime the connection is gone, too.
        if let Ok(runtime) = Handle::try_current() {
            let (body, left) = (std::mem::take(&mut self.body), self.left);
            runtime.spawn(tokio::time::timeout_at(self.until, discard(body, left)));
        }
    }
}

async fn discard(mut body: Body, mut left: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
