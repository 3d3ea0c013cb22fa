//! The sockets of the hot path. Each has one user, which writes a pipeline of commands, waits for all answers
//! and then writes the next pipeline.
//!
//! The client library shares one socket between many users, which costs a task and a channel for each
//! command (`docs/PERFORMANCE.md` has the measurements). The few connections that carry every request avoid this cost.
//!
//! In reading order: [`Commands`] (`encode`) encodes commands and [`Decoder`] (`decode`) decodes answers; `socket`
//! opens TCP, TLS and Unix sockets, and `resp_socket` exchanges commands and answers over one;
//! [`ExclusiveConnection`] (`exclusive_connection`) connects when needed. Built on it: [`BlockingConnection`]
//! (`blocking`) for reads that block, and [`BatchWriter`] (`batch_writer`) for writes from many tasks, with
//! `batch_size` for the size of its batches.

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
