//! Opens the sockets of the exclusive connections: TCP, TLS or a Unix socket, as the URL says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use redis::ConnectionAddr;
use redis::io::tcp::socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A stream of bytes to Redis and back.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}

/// Time of silence before the first keepalive probe, and between probes.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// If the peer does not confirm sent bytes for this long, the connection ends.
pub(in crate::connection) const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Settings of TCP keepalive. With it and the TCP user timeout, even a socket that only waits notices within about
/// 15 seconds that its peer has vanished.
pub(in crate::connection) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}

/// Connects to `addr`. If a name has several addresses, all are tried at the same time, so that one that does not
/// answer does not delay the others.
pub(super) async fn connect(addr: &ConnectionAddr) -> io::Result<Box<dyn Socket>> {
    match addr {
        ConnectionAddr::Tcp(host, port) => any(host, *port, None).await,
        ConnectionAddr::TcpTls { host, port, insecure: false, .. } => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let config = tokio::task::spawn_blocking(tls).await.map_err(io::Error::other)??;
            any(host, *port, Some((TlsConnector::from(Arc::new(config)), name))).await
        }
        ConnectionAddr::TcpTls { .. } => Err(io::Error::other("TLS without verification is not supported")),
        ConnectionAddr::Unix(path) => Ok(Box::new(tokio::net::UnixStream::connect(path).await?)),
        other => Err(io::Error::other(format!("this gateway cannot connect to an address like {other}"))),
    }
}

type Tls = Option<(TlsConnector, ServerName<'static>)>;

async fn any(host: &str, port: u16, tls: Tls) -> io::Result<Box<dyn Socket>> {
    let addresses = tokio::net::lookup_host((host, port)).await?;
    let tries: Vec<_> = addresses.map(|address| Box::pin(one(address, tls.clone()))).collect();
    if tries.is_empty() {
        return Err(io::Error::other(format!("{host} has no address")));
    }
    Ok(select_ok(tries).await?.0)
}

async fn one(address: SocketAddr, tls: Tls) -> io::Result<Box<dyn Socket>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&keepalive())?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    match tls {
        None => Ok(Box::new(stream)),
        Some((connector, name)) => Ok(Box::new(connector.connect(name, stream).await?)),
    }
}

/// Fails if this machine has no trusted certificates: then no server can be verified.
pub(in crate::connection) fn check_trust() -> io::Result<()> {
    match tls_roots()?.is_empty() {
        true => Err(io::Error::other("no certificate was found")),
        false => Ok(()),
    }
}

fn tls() -> io::Result<ClientConfig> {
    Ok(ClientConfig::builder().with_root_certificates(tls_roots()?).with_no_client_auth())
}

/// The trusted certificates of the system, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. They are read for
/// each connection, because they may be renewed while the process runs.
fn tls_roots() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    if let Some(error) = found.errors.into_iter().next() {
        return Err(io::Error::other(error));
    }
    let mut roots = RootCertStore::empty();
    for certificate in found.certs {
        roots.add(certificate).map_err(io::Error::other)?;
    }
    Ok(roots)
}
