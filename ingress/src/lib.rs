//! HTTP in, request on a Redis stream, reply back out.

pub mod body;
pub mod config;
pub mod connection;
pub mod listeners;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod router;
pub mod routes;
pub mod server;
pub mod upstream;
