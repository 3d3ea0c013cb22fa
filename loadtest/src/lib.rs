//! Load for any deployment of the gateway, spoken over HTTP only: nothing here knows what is
//! behind the address.
//!
//! # The map
//! - [`options`]: the command line, checked as a whole before anything is sent; [`quantity`]: the
//!   values in it
//! - [`corpus`]: the cities and locations that are asked for, or the user's own bodies
//! - [`health`]: is there a gateway at all
//! - [`caller`]: one request, one [`Outcome`]
//! - [`run`](mod@run): many requests; `closed_loop` and `open_loop` decide when each one leaves
//! - [`tally`]: the outcomes, counted as they come in
//! - [`report`]: what happened, for people and for programs, and whether the thresholds were met
//!
//! Read `run.rs` first: the rest is what it calls.
//!
//! # Which mode
//! `sequential` and `concurrent` are closed loops: each caller sends its next request when its last
//! one is answered. That finds out how much a gateway can do. But a slow gateway receives fewer
//! requests, and the latencies do not include the queue that people would have built up. `rate` is
//! an open loop: requests leave on schedule, answered or not, and latency counts from the schedule.
//! That finds out what people would see.

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

/// Exit code when every threshold was met; without any, when every request succeeded.
pub const EXIT_OK: u8 = 0;
/// Exit code when a threshold was missed; without any, when a request failed.
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

/// Lets this process have as many connections open as its user may: in rate mode, a slow gateway
/// has a connection for every request it has not answered. What stays forbidden shows as failures.
pub fn raise_open_files() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}
