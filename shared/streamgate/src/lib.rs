//! **Streamgate**: request/response over Redis Streams, and the streams toolkit under it.
//!
//! # The map, in reading order
//!
//! 1. [`envelope`]: what travels. A [`Request`](envelope::Request) and its
//!    [`Reply`](envelope::Reply), joined by a [`CorrelationId`](envelope::CorrelationId), bounded by
//!    a [`Deadline`](envelope::Deadline).
//! 2. [`request_reply`]: the way of a request. [`Requester`](request_reply::Requester) on the asking
//!    side, [`Responder`](request_reply::Responder) with your [`Handler`](request_reply::Handler) on
//!    the answering side.
//! 3. [`stream`]: the toolkit both stand on: producers, consumer groups, leases, claims, dead
//!    letters, trimming. It knows nothing of requests and replies.
//! 4. [`connection`]: Redis, with what happens to it: reconnects, time limits, kinds of errors.
//! 5. [`resilience`]: backoff, circuit breaker, concurrency limit, retry budget.
//! 6. [`codec`], [`clock`], [`fields`]: small things everybody needs.
//! 7. [`config`], [`process`], [`shutdown`], [`telemetry`] and `http` (a cargo feature): what makes a process of it.
//!
//! Imports run one way: `envelope`, `codec`, `resilience` know no Redis; `stream` stands on
//! `connection`; `request_reply` stands on all of them. A test holds these walls.

pub mod clock;
pub mod codec;
pub mod config;
pub mod connection;
pub mod envelope;
pub mod fields;
#[cfg(feature = "http")]
pub mod http;
pub mod process;
pub mod request_reply;
pub mod resilience;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
