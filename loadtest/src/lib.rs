//! Load for any deployment of the gateway. It uses HTTP only and knows nothing of the parts behind the
//! address.
//!
//! # The map
//! - [`options`]: the command line, checked before any request is sent; [`quantity`]: its values
//! - [`corpus`]: the bodies of the requests: cities and locations, or the user's own bodies
//! - [`health`]: checks that a healthy gateway answers
//! - [`caller`]: one request, one [`Outcome`]
//! - [`run`](mod@run): many requests; `closed_loop` and `open_loop` decide when each one leaves
//! - [`tally`]: the outcomes, counted as they come in
//! - [`report`]: the report as text and as JSON, and whether the thresholds were met
//!
//! Read `run.rs` first; it calls the other modules.
//!
//! # Which mode
//! `sequential` and `concurrent` are closed loops: each caller sends its next request after the answer to
//! its last one. They measure the highest throughput of a gateway. But a slow gateway then receives fewer
//! requests, and the latencies leave out the queue of real users. `rate` is an open loop: requests leave on
//! schedule, answered or not, and latency counts from the schedule. It measures the latency that real users
//! see.

pub mod caller;
mod closed_loop;
pub mod corpus;
pub mod health;
mod load;
mod open_loop;
pub mod options;
pub mod quantity;
pub mod report;
pub mod run;
pub mod tally;

pub use caller::{Caller, FailureKind, Outcome};
pub use options::{Mode, Options, Output};
pub use report::Report;
pub use run::run;

/// Exit code if every threshold is met. By default, no request may fail.
pub const EXIT_OK: u8 = 0;
/// Exit code if a threshold is missed. By default, one failed request is enough.
pub const EXIT_FAILURES: u8 = 1;
/// Exit code when the arguments are wrong: `EX_USAGE` of sysexits.h.
pub const EXIT_INVALID: u8 = 64;
/// Exit code when no healthy gateway answers: `EX_UNAVAILABLE` of sysexits.h.
pub const EXIT_UNAVAILABLE: u8 = 69;

/// Chooses `ring` as the TLS implementation of this process; later calls change nothing.
///
/// The HTTP client is built without a TLS implementation and panics if none is installed.
pub fn install_tls() {
    // The only error is that one is installed already, and then that one serves.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Raises the limit of open files to the hard limit. In rate mode, each request without an answer holds a
/// connection. Requests beyond the hard limit are reported as failures.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}
