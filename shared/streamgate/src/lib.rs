//! Request/response and streaming over Redis Streams.
pub mod clock;
pub mod codec;
pub mod config;
pub mod connection;
pub mod envelope;
pub mod fields;
pub mod request_reply;
pub mod resilience;
pub mod shutdown;
pub mod stream;
pub mod telemetry;
