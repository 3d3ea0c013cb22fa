//! Sockets for the connections that this module reads and writes itself: TCP, TLS or a Unix socket,
//! as the URL says.

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

/// A silent peer is asked whether it is still there after so long, and then as often.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// Bytes that nobody confirms for so long end the connection.
pub(in crate::connection) const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Nagle's algorithm off; keepalive and TCP user timeout on, so that a peer that vanished without
/// a word is noticed within about 15 seconds even by a socket that only waits.
pub(in crate::connection) fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}

/// Connects to `addr`. A name with several addresses is tried at all of them at once: one that does not
/// answer must not take the time of the others.
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
        other => Err(io::Error::other(format!("{other} is no address this gateway can connect to"))),
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

/// Fails if no certificate can be trusted, so that no server will ever do.
pub(in crate::connection) fn check_trust() -> io::Result<()> {
    match tls_roots()?.is_empty() {
        true => Err(io::Error::other("no certificate was found")),
        false => Ok(()),
    }
}

fn tls() -> io::Result<ClientConfig> {
    Ok(ClientConfig::builder().with_root_certificates(tls_roots()?).with_no_client_auth())
}

/// Trusts the system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), as they are now:
/// they are renewed while the process runs.
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
