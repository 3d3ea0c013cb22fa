//! **Streamgate**: request/response over Redis Streams, and the streams toolkit under it.
//!
//! # The map, in reading order
//!
//! 1. [`envelope`]: what travels. A [`Request`](envelope::Request) and its
//!    [`Reply`](envelope::Reply), joined by a [`CorrelationId`](envelope::CorrelationId), bounded by
//!    a [`Deadline`](envelope::Deadline).
//! 2. [`requester`]: the side that asks. A [`Requester`](requester::Requester) sends requests and waits for
//!    their replies.
//! 3. [`worker`]: the side that replies. A [`Responder`](worker::Responder) runs your
//!    [`Handler`](worker::Handler) for each request and sends the reply.
//! 4. [`stream`]: the toolkit under both sides: producers, consumer groups, leases, claims, dead
//!    letters, trimming. It does not know requests and replies.
//!    [`fanout`] gives one stream to many readers in a process, and [`windows`] computes over time.
//! 5. [`connection`]: connections to Redis: reconnects, time limits, kinds of errors.
//! 6. [`resilience`]: backoff, circuit breaker, concurrency limit, wait estimate.
//! 7. [`codec`], [`clock`], [`fields`]: small modules that all others use.
//! 8. [`telemetry`]: metrics, readiness and spans; the crate `service` exports them.
//!
//! Imports go one way. `envelope`, `codec` and `resilience` do not import `connection`. `stream` imports `connection`.
//! `requester` and `worker` import all of them, but not each other. A test checks this.

pub mod channel;
pub mod clock;
pub mod codec;
pub mod connection;
pub mod envelope;
pub mod fanout;
pub mod fields;
pub mod requester;
pub mod resilience;
pub mod stream;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod windows;
pub mod worker;
