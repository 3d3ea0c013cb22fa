//! Listen addresses as settings name them.

use std::io;
use std::net::TcpListener;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `0.0.0.0:5009`, `[::]:5009`; why it is none.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let (host, port) = parts.ok_or("is no address with a port, such as 127.0.0.1:5009")?;
        Ok(Self { host: host.trim_matches(['[', ']']).to_owned(), port: port_number(port)? })
    }

    /// A port of the loopback address.
    pub(crate) fn local(port: &str) -> Result<Self, &'static str> {
        Ok(Self { host: "127.0.0.1".to_owned(), port: port_number(port)? })
    }

    /// As a person on this machine opens it: a wildcard address is no place to go to.
    pub(crate) fn url(&self) -> String {
        let Self { host, port } = self;
        match host.as_str() {
            "0.0.0.0" | "::" => format!("http://localhost:{port}"),
            host if host.contains(':') => format!("http://[{host}]:{port}"),
            host => format!("http://{host}:{port}"),
        }
    }

    /// True if one process at most can listen at both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        let wildcard = [self, other].iter().any(|it| it.host == "0.0.0.0" || it.host == "::");
        self.port == other.port && (self.host == other.host || wildcard)
    }

    /// True if another socket listens where this address would. An error: nobody can listen there.
    pub(crate) fn is_taken(&self) -> io::Result<bool> {
        match TcpListener::bind((self.host.as_str(), self.port)) {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
            Err(error) => Err(error),
        }
    }
}

/// A port that one can name; 0 would be another one at every start.
fn port_number(text: &str) -> Result<u16, &'static str> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port > 0);
    port.ok_or("needs a port from 1 to 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_one_that_can_be_opened() {
        let url = |text: &str| Address::parse(text).expect("an address").url();

        assert_eq!(url("0.0.0.0:5009"), "http://localhost:5009");
        assert_eq!(url("[::]:5009"), "http://localhost:5009");
        assert_eq!(url("[::1]:5009"), "http://[::1]:5009");
        assert_eq!(url("127.0.0.1:1"), "http://127.0.0.1:1");
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for text in ["1.2.3.4:0", "1.2.3.4:70000", "1.2.3.4:+1", "1.2.3.4:", "1.2.3.4:none"] {
            assert_eq!(Address::parse(text), Err("needs a port from 1 to 65535"), "{text}");
        }
        assert!(Address::parse("5009").is_err() && Address::parse(":5009").is_err());
    }

    #[test]
    fn a_wildcard_meets_every_address_of_its_port() {
        let at = |text: &str| Address::parse(text).expect("an address");

        assert!(at("0.0.0.0:1").meets(&at("127.0.0.1:1")));
        assert!(!at("127.0.0.2:1").meets(&at("127.0.0.1:1")));
        assert!(!at("0.0.0.0:1").meets(&at("0.0.0.0:2")));
    }
}
