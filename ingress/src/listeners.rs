//! The two ports of the process, bound before anything else starts.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Settings;

/// Connections the system holds until they are accepted; the system may hold fewer
/// (net.core.somaxconn).
const ACCEPT_QUEUE: i32 = 4_096;

/// Bound sockets; a test brings its own, on port 0.
#[derive(Debug)]
pub struct Listeners {
    /// The public API.
    pub public: TcpListener,
    /// Metrics and probes.
    pub admin: TcpListener,
}

/// A port that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; set {variable} to another address")]
pub struct BindError {
    address: SocketAddr,
    variable: &'static str,
    reason: io::Error,
}

impl Listeners {
    /// Binds what the settings name.
    ///
    /// # Errors
    /// An address is in use or not this machine's; the message names the variable that sets it.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        Ok(Self {
            public: named(settings.ingress_listen, "INGRESS_LISTEN")?,
            admin: named(settings.ingress_admin_listen, "INGRESS_ADMIN_LISTEN")?,
        })
    }
}

/// A non-blocking listener on `address`.
///
/// # Errors
/// As the system says.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted process must not wait for the connections of its predecessor to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    Ok(socket.into())
}

fn named(address: SocketAddr, variable: &'static str) -> Result<TcpListener, BindError> {
    listen(address).map_err(|reason| BindError { address, variable, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_variable_that_changes_it() {
        let taken = listen(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = taken.local_addr().expect("bound");

        let error = named(address, "INGRESS_LISTEN").expect_err("in use").to_string();

        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with("set INGRESS_LISTEN to another address"), "{error}");
    }
}
