//! The hot path's own sockets: each has one user, who writes a pipeline of commands, waits for their answers
//! and then writes the next.
//!
//! The client library multiplexes one socket for many users. That costs a task and a channel for each
//! command, which `docs/PERFORMANCE.md` measures; the few connections that carry every request go without.
//! [`Commands`] packs, [`Decoder`] unpacks, [`ExclusiveConnection`] connects. [`BlockingConnection`] is for
//! reads that block, [`BatchWriter`] for writes from many tasks.

mod batch_size;
mod batch_writer;
mod blocking;
mod decode;
mod encode;
mod exclusive_connection;
mod resp_socket;
mod socket;

pub use batch_writer::{BatchWriter, Outbound, QueueFull};
pub use blocking::{BlockingConnection, Waker};
pub use decode::{Decode, Decoder, Malformed};
pub(crate) use decode::{array, missing, string};
pub(crate) use encode::LARGEST_PIPELINE;
pub use encode::{Arguments, Commands};
pub use exclusive_connection::ExclusiveConnection;
pub(super) use resp_socket::RespSocket;
pub(super) use socket::{USER_TIMEOUT, check_trust, keepalive};
