//! The frame that the processes of Streamgate share: ingress and proxy are built on it.
//!
//! | Module | |
//! |---|---|
//! | [`api_key`] | API keys: their hashes, and the one that a request presents |
//! | [`config`] | settings: flag, environment, default, checked before a port is bound |
//! | [`logs`] | log lines, written without blocking the requests |
//! | [`http`] | an HTTP server with limits; probes and metrics on their own thread |
//! | [`exporter`] | metrics in the Prometheus text format |
//! | [`operations`] | a port with metrics and probes for a worker of one's own |
//! | `otlp` | sends spans to a collector (cargo feature `otlp`) |
//! | [`liveness`] | tells whether the main runtime still runs its tasks |
//! | [`process`] | runtime, panics, exit code |
//! | [`shutdown`] | what the process does after a signal |
//!
//! A program that embeds a worker needs none of this.

pub mod api_key;
pub mod config;
pub mod exporter;
pub mod http;
pub mod liveness;
pub mod logs;
pub mod operations;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod process;
pub mod shutdown;
