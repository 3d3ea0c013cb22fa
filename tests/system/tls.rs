//! Redis behind TLS, with a user, a password and a database of its own.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use streamgate::testing::{RedisServer, eventually};
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::harness::{ask_many, ingress, ingress_unready, proxy};

/// Ends TLS in front of a server and answers with its URL and the file of the certificate to trust.
async fn behind_tls(server: &RedisServer) -> (String, PathBuf) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let trusted = server.folder().join("certificate.pem");
    std::fs::write(&trusted, cert.pem()).expect("written");
    let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key).expect("they fit");
    let acceptor = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let socket = server.socket();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                // Who does not trust us hangs up.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut redis = UnixStream::connect(socket).await.expect("Redis listens");
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut redis).await;
            });
        }
    });
    (format!("rediss://alice:hunter2@localhost:{port}/3"), trusted)
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_goes_through_tls_as_the_user_and_database_of_the_url() {
    let server = RedisServer::start();
    // Knowing one's own number is not needed.
    let alice = ["ACL", "SETUSER", "alice", "on", ">hunter2", "~*", "&*", "+@all", "-client|id"];
    server.command::<()>(&alice);
    let (url, trusted) = behind_tls(&server).await;
    let environment = [("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", text(&trusted))];
    let (_proxy, ingress) = (proxy(&server, "w1", &environment).await, ingress(&server, &environment).await);

    ask_many(&ingress, 50).await;

    let databases: String = server.command(&["INFO", "keyspace"]);
    assert!(databases.contains("db3:") && !databases.contains("db0:"), "{databases}");
    let clients: String = server.command(&["CLIENT", "LIST"]);
    let strangers = clients.lines().filter(|client| !client.contains("user=alice"));
    assert_eq!(strangers.count(), 1, "every client except this test must be alice:\n{clients}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_is_not_trusted_gets_no_password() {
    let (server, other) = (RedisServer::start(), RedisServer::start());
    let (url, _) = behind_tls(&server).await;
    let (_, trusted) = behind_tls(&other).await;

    let ingress = ingress_unready(&server, &[("REDIS_URL", url.as_str()), ("SSL_CERT_FILE", text(&trusted))]);

    eventually("the log says why", || {
        let log = ingress.log();
        let mut lines = log.lines().filter(|line| line.contains("invalid peer certificate"));
        lines.any(|line| line.contains("reply listener"))
    });
    let log = ingress.log();
    assert!(!log.contains("hunter2"), "{log}");
    let stats: String = server.command(&["INFO", "commandstats"]);
    assert!(!stats.contains("cmdstat_auth"), "{stats}");
}
