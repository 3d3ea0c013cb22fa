//! The launcher that tests, chaos, benchmarks and `make up` share.
//!
//! | Module | What |
//! |---|---|
//! | [`process`] | one process: its clean environment, its log, the addresses it bound, its end |
//! | [`postgres`] | a PostgreSQL server in a folder of its own |
//! | [`redis`] | a Redis or Valkey server: which program, with which options, and whether it answers |
//! | [`address`] | a free one, for programs that cannot tell which one they bound |
//! | [`http`] | one request over a connection of its own |
//!
//! The program of this crate is `stack up`, which is `make up`, `stack run`, which runs a command beside a
//! stack of its own, `stack system`, which starts a system of `examples/`, and `stack redis`, which runs a command
//! beside Redis alone. Nothing here is in the product.

pub mod address;
pub mod http;
pub mod postgres;
pub mod process;
pub mod redis;

pub use self::address::free_address;
pub use self::postgres::Postgres;
pub use self::process::{LogReader, Process, clean};
