//! Connections to Redis that survive outages, failovers and moves of the server.
//!
//! In reading order: [`RedisUrl`] (`url`) says where Redis is. [`Redis`] (`client`) is the handle that a process
//! shares: one pipelined connection for commands, a circuit breaker that every command reports to, and the server's
//! clock. [`Redis::connect`] (`connect`) waits for the first answer. The `heartbeat` checks all three once a second. [`Error`] (`error`) gives every failure a kind, and every
//! kind a policy. [`exclusive`] has the sockets of the hot path.
//!
//! Beside them: `admin_pool` has connections for rare work; `peer` and `server` find out which server answers; `rehearsal` and `denials` handle missing
//! permissions; `server_info` reads what the server says of itself; `script`, `retry_log` and `metrics` are small tools.

mod admin_pool;
mod client;
mod connect;
mod denials;
mod error;
pub mod exclusive;
mod heartbeat;
mod metrics;
mod peer;
mod rehearsal;
mod retry_log;
mod script;
mod server;
mod server_info;
mod url;

pub use client::{Redis, RedisSettings};
pub use connect::{ConnectError, RedisBuilder};
pub use error::{Error, ErrorKind, checked};
pub(crate) use exclusive::LARGEST_PIPELINE;
pub use exclusive::{
    Arguments, BatchWriter, BlockingConnection, Commands, Decode, Decoder, ExclusiveConnection, Malformed,
    Outbound, QueueFull, Waker,
};
pub(crate) use exclusive::{array, missing, string};
pub use metrics::ConnectionMetrics;
pub(crate) use peer::is_primary;
pub(crate) use rehearsal::LAST_ID;
pub use rehearsal::Rehearsal;
pub use retry_log::RetryLog;
pub use script::Script;
pub use server_info::{ServerInfo, ServerMemory};
pub use url::RedisUrl;
