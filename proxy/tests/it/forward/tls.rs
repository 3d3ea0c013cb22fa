//! Upstreams behind TLS.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use streamgate::testing::RedisServer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::gateway::{Ask, Asker, RoutesFile, one_route, text};
use super::kills::Process;
use super::upstream::{Act, ok, play, read};

/// An https server for `localhost`: its port, and its certificate as a file.
async fn https() -> (u16, RoutesFile) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                while read(&mut stream).await.is_some() && play(&mut stream, Act::Send(ok("secret"))).await {}
            });
        }
    });
    (port, RoutesFile::new(&cert.pem()))
}

#[tokio::test]
async fn an_upstream_with_a_trusted_certificate_is_asked() {
    let (server, (port, certificate)) = (RedisServer::start(), https().await);
    let file = RoutesFile::new(&one_route(&format!("https://localhost:{port}"), "", ""));
    let trusted = certificate.path();
    let _proxy = Process::start(&server, &file, &[("SSL_CERT_FILE", trusted.to_str().expect("text"))]);

    let reply = Asker::new(&server).ask(Ask::get()).await;

    assert_eq!((reply.status, text(&reply).as_str()), (200, "secret"));
}

#[tokio::test]
async fn an_upstream_that_is_not_trusted_gets_nothing() {
    let (server, (port, _), (_, other)) = (RedisServer::start(), https().await, https().await);
    let file = RoutesFile::new(&one_route(&format!("https://localhost:{port}"), "", ""));
    let trusted = other.path();
    let _proxy = Process::start(&server, &file, &[("SSL_CERT_FILE", trusted.to_str().expect("text"))]);

    let reply = Asker::new(&server).ask(Ask::get().within(Duration::from_secs(5))).await;

    assert_eq!(reply.status, 504, "{reply:?}");
    assert!(text(&reply).contains("nothing was sent"), "{reply:?}");
}
