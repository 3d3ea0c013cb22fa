//! HTTP in, request on a Redis stream, reply back out.

pub mod config;
pub mod listeners;
