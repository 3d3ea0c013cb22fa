use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// The most connections that wait in the system's queue to be accepted. The system may set a lower
/// limit (`net.core.somaxconn`).
const ACCEPT_QUEUE: i32 = 4_096;

/// A port that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}; set {variable} to another address")]
pub struct BindError {
    address: SocketAddr,
    variable: &'static str,
    /// The reason is part of the message. As the source of the error, a chain of causes would repeat it.
    reason: io::Error,
}

/// A non-blocking listener on `address`, which the setting `variable` names.
///
/// # Errors
/// The address is in use or is not one of this machine; the message says what to change.
pub fn listen(address: SocketAddr, variable: &'static str) -> Result<TcpListener, BindError> {
    bind(address).map_err(|reason| BindError { address, variable, reason })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without this, a restarted process could not bind until its old connections time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(ACCEPT_QUEUE)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_port_in_use_is_named_with_the_variable_that_changes_it() {
        let taken = listen(([127, 0, 0, 1], 0).into(), "INGRESS_LISTEN").expect("a free port");
        let address = taken.local_addr().expect("bound");

        let error = listen(address, "INGRESS_LISTEN").expect_err("in use");

        assert!(error.source().is_none(), "a chain of causes would repeat the reason");
        let error = error.to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.ends_with("set INGRESS_LISTEN to another address"), "{error}");
    }
}
