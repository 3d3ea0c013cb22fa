//! Serving HTTP: what the public and the admin listeners of every process have in common.
//!
//! Behind the cargo feature `http`, so that a worker without a listener needs no web framework.

pub mod admin;
mod listen;
mod problem;
mod protocol;
mod server;

pub use listen::{BindError, listen};
pub use server::{ServerLimits, ServerMetrics, serve};
