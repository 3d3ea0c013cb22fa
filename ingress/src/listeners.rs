//! The two ports of the process, bound before anything else starts.

use std::net::TcpListener;

use service::http::{BindError, listen};

use crate::config::Settings;

/// The bound sockets. Tests bind their own on port 0.
#[derive(Debug)]
pub struct Listeners {
    /// The public API.
    pub public: TcpListener,
    /// Metrics and probes.
    pub admin: TcpListener,
}

impl Listeners {
    /// Binds the addresses of the settings.
    ///
    /// # Errors
    /// An address is in use or is not one of this machine; the message names the variable to change.
    pub fn bind(settings: &Settings) -> Result<Self, BindError> {
        Ok(Self {
            public: listen(settings.ingress_listen, "INGRESS_LISTEN")?,
            admin: listen(settings.ingress_admin_listen, "INGRESS_ADMIN_LISTEN")?,
        })
    }
}
