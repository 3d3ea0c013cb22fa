//! **Streamgate**: request/response over Redis Streams, and the streams toolkit under it.
//!
//! # The map, in reading order
//!
//! 1. [`envelope`]: what travels. A [`Request`](envelope::Request) and its
//!    [`Reply`](envelope::Reply), joined by a [`CorrelationId`](envelope::CorrelationId), bounded by
//!    a [`Deadline`](envelope::Deadline).
//! 2. [`requester`]: the asking side. A [`Requester`](requester::Requester) sends requests and waits for
//!    their replies.
//! 3. [`worker`]: the answering side. A [`Responder`](worker::Responder) runs your
//!    [`Handler`](worker::Handler) for each request and sends the reply.
//! 4. [`stream`]: the toolkit both stand on: producers, consumer groups, leases, claims, dead
//!    letters, trimming. It knows nothing of requests and replies.
//! 5. [`connection`]: Redis, with what happens to it: reconnects, time limits, kinds of errors.
//! 6. [`resilience`]: backoff, circuit breaker, concurrency limit, wait estimate.
//! 7. [`codec`], [`clock`], [`fields`]: small things everybody needs.
//! 8. [`telemetry`]: metrics, readiness and spans, whatever exports them.
//!
//! Imports run one way: `envelope`, `codec`, `resilience` know no Redis; `stream` stands on
//! `connection`; `requester` and `worker` stand on all of them and do not know each other. A test holds these walls.

pub mod clock;
pub mod codec;
pub mod connection;
pub mod envelope;
pub mod fields;
pub mod requester;
pub mod resilience;
pub mod stream;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod worker;
