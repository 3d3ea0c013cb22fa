//! Connections to Redis that survive what happens to Redis.
//!
//! [`Redis`] is the handle a process shares: one pipelined command connection, a circuit breaker
//! every command reports to, the server's clock and a heartbeat that keeps all three honest.
//! [`exclusive`] has the sockets of the hot path. [`Error`] gives every failure a kind, and every kind a
//! policy.

mod client;
mod denials;
mod error;
pub mod exclusive;
mod heartbeat;
mod memory;
mod metrics;
mod peer;
mod rehearsal;
mod retry_log;
mod script;
mod server;
mod url;

pub use client::{AdminPool, Redis, RedisSettings};
pub use error::{Error, ErrorKind, checked};
pub(crate) use exclusive::LARGEST_PIPELINE;
pub use exclusive::{
    Arguments, BatchWriter, BlockingConnection, Commands, Decode, Decoder, ExclusiveConnection, Malformed,
    Outbound, QueueFull, Waker,
};
pub(crate) use exclusive::{array, missing, string};
pub use memory::ServerMemory;
pub use metrics::ConnectionMetrics;
pub(crate) use peer::is_primary;
pub(crate) use rehearsal::LAST_ID;
pub use rehearsal::Rehearsal;
pub use retry_log::RetryLog;
pub use script::Script;
pub use url::RedisUrl;
