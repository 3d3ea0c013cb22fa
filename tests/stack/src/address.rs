//! Addresses that are free.

use std::net::{SocketAddr, TcpListener};

use anyhow::Context;

/// A loopback address that nobody listens at. Another program may take it before it is used: then the process
/// that was to have it says so.
///
/// # Errors
/// There is none.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no port is free")
}
