//! The server on a real socket, with a handler that says `ok` or waits to be told.

use std::net::SocketAddr;

use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);
const LIMITS: ServerLimits =
    ServerLimits { connections: 16, first_request: PATIENCE, idle: PATIENCE, drain: PATIENCE };

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    /// Tells that a request for `/slow` came.
    slow_came: Arc<Notify>,
    /// Lets it be answered.
    slow_may_end: Arc<Notify>,
    serving: JoinHandle<usize>,
}

async fn server(limits: ServerLimits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let (slow_came, slow_may_end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (came, may_end) = (Arc::clone(&slow_came), Arc::clone(&slow_may_end));
    let handler = move |request: Request<Incoming>| {
        let (came, may_end) = (Arc::clone(&came), Arc::clone(&may_end));
        async move {
            if request.uri().path() == "/slow" {
                came.notify_one();
                may_end.notified().await;
            }
            Response::new(Full::new(Bytes::from_static(b"ok")))
        }
    };
    let serving = tokio::spawn(serve(listener, limits, ConnectionMetrics::noop(), stop.clone(), handler));
    Server { address, stop, slow_came, slow_may_end, serving }
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.address).await.expect("accepted")
}

async fn ask(stream: &mut TcpStream, path: &str) {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
}

/// One answer, as far as its body `ok`.
async fn answer(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\nok") {
        let byte = timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("open");
        text.push(byte);
    }
    String::from_utf8(text).expect("text")
}

/// Everything until the server closes.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut text = Vec::new();
    // A reset is a way of closing, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut text)).await.expect("closed in time");
    text
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let server = server(LIMITS).await;
    let mut stream = connect(&server).await;

    ask(&mut stream, "/").await;
    let first = answer(&mut stream).await;
    ask(&mut stream, "/").await;
    let second = answer(&mut stream).await;

    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert!(second.starts_with("HTTP/1.1 200"), "{second}");
}

#[tokio::test]
async fn a_connection_that_sends_no_whole_request_is_closed() {
    for said in [&b""[..], b"PRI * HT", b"GET / HTTP/1.1\r\nhost: "] {
        let server = server(ServerLimits { first_request: Duration::from_millis(20), ..LIMITS }).await;
        let mut stream = connect(&server).await;
        stream.write_all(said).await.expect("written");

        let heard = until_closed(&mut stream).await;

        assert!(!heard.starts_with(b"HTTP/1.1 2"), "{said:?}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_but_one_with_a_request_under_way_is_not() {
    let limits = ServerLimits { first_request: PATIENCE, idle: Duration::from_millis(20), ..LIMITS };
    let server = server(limits).await;
    let (mut idle, mut busy) = (connect(&server).await, connect(&server).await);
    ask(&mut busy, "/slow").await;
    server.slow_came.notified().await;

    ask(&mut idle, "/").await;
    answer(&mut idle).await;
    until_closed(&mut idle).await;
    server.slow_may_end.notify_one();

    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn at_the_limit_the_next_connection_waits_until_one_ends() {
    let server = server(ServerLimits { connections: 1, ..LIMITS }).await;
    let mut first = connect(&server).await;
    ask(&mut first, "/").await;
    answer(&mut first).await;
    let mut second = connect(&server).await;
    ask(&mut second, "/").await;

    let early = timeout(Duration::from_millis(100), second.read_u8()).await;
    drop(first);

    assert!(early.is_err(), "the second was served beside the first");
    assert!(answer(&mut second).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stopping_server_finishes_what_it_holds_and_takes_nothing_new() {
    let server = server(LIMITS).await;
    let (mut idle, mut busy) = (connect(&server).await, connect(&server).await);
    ask(&mut idle, "/").await;
    answer(&mut idle).await;
    ask(&mut busy, "/slow").await;
    server.slow_came.notified().await;

    server.stop.cancel();
    until_closed(&mut idle).await;
    let refused = TcpStream::connect(server.address).await;
    server.slow_may_end.notify_one();

    assert!(refused.is_err(), "the listener is still open");
    let last = answer(&mut busy).await;
    assert!(last.to_lowercase().contains("connection: close"), "{last}");
    assert_eq!(server.serving.await.expect("no panic"), 0);
}

#[tokio::test]
async fn a_request_that_outlasts_the_drain_is_cut_off_and_counted() {
    let server = server(ServerLimits { drain: Duration::from_millis(50), ..LIMITS }).await;
    let mut stream = connect(&server).await;
    ask(&mut stream, "/slow").await;
    server.slow_came.notified().await;

    server.stop.cancel();

    assert_eq!(server.serving.await.expect("no panic"), 1);
    assert!(until_closed(&mut stream).await.is_empty());
}

#[tokio::test]
async fn a_silent_connection_does_not_delay_the_stop() {
    let server = server(LIMITS).await;
    let mut silent = connect(&server).await;
    let mut other = connect(&server).await;
    ask(&mut other, "/").await;
    answer(&mut other).await;

    server.stop.cancel();

    assert_eq!(timeout(PATIENCE / 2, server.serving).await.expect("soon").expect("no panic"), 0);
    assert!(until_closed(&mut silent).await.is_empty());
}
