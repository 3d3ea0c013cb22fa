//! Connections to Redis that survive what happens to Redis.
//!
//! [`Redis`] is the handle a process shares: one pipelined command connection, a circuit breaker
//! every command reports to, the server's clock and a heartbeat that keeps all three honest.
//! [`BatchWriter`] writes in natural batches over a [`DedicatedConnection`]. [`BlockingConnection`] is
//! one for commands that block. [`Error`] gives every failure a kind, and every kind a policy.

mod batch_writer;
mod blocking;
mod command;
mod commands;
mod dedicated;
mod denials;
mod error;
mod gathering;
mod heartbeat;
mod link;
mod memory;
mod outage;
mod peer;
mod rehearsal;
mod resp;
mod script;
mod server;
mod socket;
mod url;

pub use batch_writer::{BatchWriter, Outbound, QueueFull};
pub use blocking::{BlockingConnection, Waker};
pub use command::{AdminPool, Redis, RedisSettings};
pub(crate) use commands::LARGEST_PIPELINE;
pub use commands::{Arguments, Commands};
pub use dedicated::DedicatedConnection;
pub use error::{Error, ErrorKind, checked};
pub use memory::ServerMemory;
pub use outage::Outage;
pub(crate) use peer::is_primary;
pub(crate) use rehearsal::LAST_ID;
pub use rehearsal::Rehearsal;
pub use resp::{Decode, Decoder, Malformed};
pub(crate) use resp::{array, missing, string};
pub use script::Script;
pub use url::RedisUrl;
