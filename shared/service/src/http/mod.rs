//! The HTTP server that the public and the admin listeners of every process share.

mod activity;
pub mod admin;
pub mod body;
mod coding;
mod connection;
mod healthcheck;
pub mod host;
mod listen;
mod open_files;
mod problem;
mod protocol;
mod server;
mod stall;
#[cfg(feature = "swagger")]
pub mod swagger;
pub mod unread_body;

pub use coding::is_encoded;
pub use healthcheck::{HealthcheckArgs, Unhealthy};
pub use listen::{BindError, listen};
pub use problem::ProblemAnswer;
pub use server::{ServerLimits, ServerMetrics, serve};
