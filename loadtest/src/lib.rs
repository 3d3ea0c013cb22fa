//! Load for any deployment of the gateway, spoken over HTTP only: nothing here knows what is
//! behind the address.
//!
//! # The map
//! - [`options`]: the command line, checked as a whole before anything is sent
//! - [`corpus`]: the cities and locations that are asked for
//! - [`health`]: is there a gateway at all
//! - [`caller`]: one request, one [`Outcome`]
//! - [`run`](mod@run): many requests, sequential or concurrent
//! - [`report`]: what happened, for people and for programs
//!
//! Read `run.rs` first: the rest is what it calls.
//!
//! The load is a closed loop: each of the `--concurrency` callers sends its next request when its
//! last one is answered. A slow gateway therefore receives fewer requests, and the latencies do
//! not include the queue that an open loop would have built up.

pub mod caller;
pub mod corpus;
pub mod health;
pub mod options;
pub mod report;
pub mod run;

pub use caller::{Caller, FailureKind, Outcome};
pub use options::{Mode, Options, Output};
pub use report::Report;
pub use run::run;

/// Exit code when every request succeeded.
pub const EXIT_OK: u8 = 0;
/// Exit code when at least one request failed.
pub const EXIT_FAILURES: u8 = 1;
/// Exit code when the arguments are wrong: `EX_USAGE` of sysexits.h.
pub const EXIT_INVALID: u8 = 64;
/// Exit code when no healthy gateway answers: `EX_UNAVAILABLE` of sysexits.h.
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Chooses `ring` as the TLS implementation of this process; later calls change nothing.
///
/// The HTTP client is built without one and panics if none was installed first.
pub fn install_tls() {
    // The only error is that one is installed already, which is what we want.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
