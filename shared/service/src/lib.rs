//! What makes a process of a part of Streamgate: ingress and proxy are thin because of it.
//!
//! | Module | |
//! |---|---|
//! | [`config`] | settings: flag, environment, default, checked before a port is bound |
//! | [`logs`] | log lines that never hold up work |
//! | [`http`] | a bounded HTTP server; probes and metrics on a thread of their own |
//! | [`exporter`] | metrics in the Prometheus text format |
//! | `otlp` | spans to a collector (cargo feature `otlp`) |
//! | [`liveness`] | whether the main runtime still runs its tasks |
//! | [`process`] | runtime, panics, exit code |
//! | [`shutdown`] | from a signal to a clean end |
//!
//! A worker that is embedded in a program of its own needs none of this.

pub mod config;
pub mod exporter;
pub mod http;
pub mod liveness;
pub mod logs;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod process;
pub mod shutdown;
