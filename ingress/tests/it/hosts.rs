//! A request must name exactly one valid host, or it is refused.

use std::net::SocketAddr;

use streamgate::testing::RedisServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{BERLIN, FORECAST, Ingress, stored};

/// The HPACK bytes of two statuses in the static table (RFC 7541, appendix A).
const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

#[tokio::test]
async fn http_1_requests_without_one_valid_host_are_refused() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (line, hosts, status) in [
        ("GET /livez HTTP/1.1", "", 400),
        ("GET /livez HTTP/1.1", "host: a\r\nhost: a\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a\r\nhost: b\r\n", 400),
        ("GET /livez HTTP/1.1", "host:\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a/b\r\n", 400),
        ("GET /livez HTTP/1.1", "host: a:port\r\n", 400),
        ("GET /livez HTTP/1.1", "host: user@a\r\n", 400),
        ("GET http://a/livez HTTP/1.1", "", 400),
        ("GET /nothing HTTP/1.1", "", 400),
        ("GET /swagger/ HTTP/1.1", "", 400),
        ("DELETE /livez HTTP/1.1", "", 400),
        ("GET /livez HTTP/1.0", "host: a\r\nhost: b\r\n", 400),
        ("GET /livez HTTP/1.0", "", 200),
        ("GET /livez HTTP/1.1", "host: [::1]:5009\r\n", 200),
        ("GET http://a/livez HTTP/1.1", "host: b\r\n", 200),
    ] {
        let answer = say(ingress.api, &format!("{line}\r\n{hosts}connection: close\r\n\r\n")).await;

        assert!(
            answer.starts_with(&format!("HTTP/1.{} {status} ", &line[line.len() - 1..])),
            "{line} {hosts}: {answer}"
        );
        assert!(answer.contains("x-request-id: "), "{answer}");
        assert_eq!(answer.contains("application/problem+json"), status == 400, "{line} {hosts}: {answer}");
    }
}

#[tokio::test]
async fn a_forecast_request_without_a_host_does_not_reach_the_stream() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;
    let size = BERLIN.len();
    let head =
        format!("POST {FORECAST} HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {size}");

    let answer = say(ingress.api, &format!("{head}\r\nconnection: close\r\n\r\n{BERLIN}")).await;

    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(stored(&server), 0);
}

#[tokio::test]
async fn http_2_requests_without_one_valid_host_are_refused() {
    let server = RedisServer::start();
    let ingress = Ingress::ready(&server, &[]).await;

    for (authority, host, expected) in [
        (None, None, BAD_REQUEST),
        (Some("a"), Some("b"), BAD_REQUEST),
        (Some("a"), Some("a b"), BAD_REQUEST),
        (Some("user@a"), None, BAD_REQUEST),
        (Some("a"), None, OK),
        (None, Some("a"), OK),
        (Some("a:80"), Some("A"), OK),
    ] {
        let answered = ask_http_2(ingress.api, authority, host).await;

        assert_eq!(answered, expected, "{authority:?} {host:?}");
    }
}

async fn say(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("accepted");
    stream.write_all(request.as_bytes()).await.expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered and closed");
    answer
}

/// Sends `GET /livez` in hand-written frames, because no client sends these heads. Returns the HPACK
/// byte of the status.
async fn ask_http_2(address: SocketAddr, authority: Option<&str>, host: Option<&str>) -> u8 {
    let size = |text: &str| u8::try_from(text.len()).expect("short");
    let mut head = vec![0x82, 0x86, 0x04, size("/livez")];
    head.extend(b"/livez");
    for (name, value) in [(&[0x01][..], authority), (&[0x0f, 0x17], host)] {
        let Some(value) = value else { continue };
        head.extend(name);
        head.push(size(value));
        head.extend(value.as_bytes());
    }
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    let length = u8::try_from(head.len()).expect("short");
    bytes.extend([0, 0, length, 0x01, 0x05, 0, 0, 0, 1]);
    bytes.extend(head);
    let mut stream = TcpStream::connect(address).await.expect("accepted");
    stream.write_all(&bytes).await.expect("written");
    loop {
        let mut frame = [0; 9];
        stream.read_exact(&mut frame).await.expect("a frame");
        let size = u32::from_be_bytes([0, frame[0], frame[1], frame[2]]);
        let mut payload = vec![0; usize::try_from(size).expect("fits")];
        stream.read_exact(&mut payload).await.expect("the rest of it");
        if frame[3] == 0x01 {
            return payload[0];
        }
    }
}
