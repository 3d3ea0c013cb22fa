//! **Streamgate**: request/response over Redis Streams, and the streams toolkit under it.
//!
//! # The map, in reading order
//!
//! 1. [`envelope`]: what travels. A [`Request`](envelope::Request) and its
//!    [`Reply`](envelope::Reply), joined by a [`CorrelationId`](envelope::CorrelationId), bounded by
//!    a [`Deadline`](envelope::Deadline).
//! 2. [`requester`]: the side that asks. A [`Requester`](requester::Requester) sends requests and waits for
//!    their replies.
//! 3. [`responder`]: the side that replies. A [`Responder`](responder::Responder) runs your
//!    [`Handler`](responder::Handler) for each request and sends the reply.
//! 4. The toolkit under both sides, which does not know requests and replies, has three doors: [`stream`] for entries
//!    and fields, [`channel`] for typed values, and [`worker`] for a loop that keeps every promise.
//!    Built on them: [`fanout`] gives one stream to many readers in a process, and [`windows`] computes over time.
//! 5. [`connection`]: connections to Redis: reconnects, time limits, kinds of errors.
//! 6. [`resilience`]: backoff, circuit breaker, concurrency limit, wait estimate.
//! 7. [`codec`], [`clock`], [`fields`]: small modules that all others use.
//! 8. [`telemetry`]: metrics, readiness and spans; the crate `service` exports them.
//!
//! Imports go one way. `envelope`, `codec` and `resilience` do not import `connection`. `stream` imports `connection`;
//! `channel`, `worker`, `fanout` and `windows` import `stream`; `responder` imports `worker`. `requester` and
//! `responder` do not import each other. A test checks this.

pub mod channel;
pub mod clock;
pub mod codec;
pub mod connection;
pub mod envelope;
pub mod fanout;
pub mod fields;
pub mod requester;
pub mod resilience;
pub mod responder;
pub mod stream;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod windows;
pub mod worker;
