//! Reads the rest of a request body when the request is answered before the end of the body.
//!
//! A server can refuse a request before its body has arrived. But many HTTP/1 callers send the whole
//! body before they read the answer. If the server stopped reading, the connection would be reset and such
//! a caller would never see why it was refused. So when a handler drops a body before its end, a task
//! reads the rest for a limited time and throws it away, while the answer is sent.

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

/// How much of a body is read and thrown away, in bytes.
const DISCARDED: usize = 32 << 20;

/// If the body of `request` is dropped before its end, its rest is read and thrown away. This ends at
/// the latest when `time` has passed from now.
pub fn discard_later(request: Request, time: Duration) -> Request {
    // HTTP/2 resets a single stream and keeps the connection. A caller that expects `100 Continue` sends
    // no body without it.
    let needs_reading = request.version() < Version::HTTP_2 && !request.headers().contains_key(EXPECT);
    if !needs_reading || request.body().is_end_stream() {
        return request;
    }
    let until = Instant::now() + time;
    request.map(|body| Body::new(DiscardOnDrop { body, until, left: DISCARDED, ended: false }))
}

/// A body that is read to its end in the background if it is dropped earlier.
struct DiscardOnDrop {
    body: Body,
    until: Instant,
    /// Bytes that may still be read.
    left: usize,
    ended: bool,
}

impl HttpBody for DiscardOnDrop {
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

impl Drop for DiscardOnDrop {
    fn drop(&mut self) {
        if self.ended || self.left == 0 || self.body.is_end_stream() || self.until <= Instant::now() {
            return;
        }
        // Without a runtime the connection is gone, too.
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
