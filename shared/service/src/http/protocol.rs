use std::time::Duration;

use tokio::net::TcpStream;

/// The HTTP version that a peer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// How every HTTP/2 connection starts (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait before the bytes are read again. The bytes stay unread, so the socket stays readable and
/// cannot signal that more bytes came.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Detects the protocol by the first bytes of the peer of `stream`. The bytes stay unread. `None` if
/// the peer has closed the connection.
///
/// It waits until the bytes decide; the calling function must set a time limit. The detection in
/// hyper-util cannot be limited: a peer that sends only `P` would hold a connection for ever.
pub(super) async fn detect(stream: &TcpStream) -> Option<Protocol> {
    let mut start = [0; PREFACE.len()];
    loop {
        let seen = match stream.peek(&mut start).await {
            Ok(0) | Err(_) => return None,
            Ok(length) => &start[..length],
        };
        if seen == PREFACE {
            return Some(Protocol::Http2);
        }
        if !PREFACE.starts_with(seen) {
            return Some(Protocol::Http1);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let peer = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("accepted");
        (peer, listener.accept().await.expect("accepts").0)
    }

    #[tokio::test]
    async fn the_first_bytes_show_the_protocol_and_stay_unread() {
        for (sent, expected) in [
            (PREFACE, Protocol::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and frames", Protocol::Http2),
            (b"PRI * HTTP/1.1\r\n", Protocol::Http1),
            (b"PUT", Protocol::Http1),
            (b"G", Protocol::Http1),
        ] {
            let (mut peer, stream) = pair().await;
            peer.write_all(sent).await.expect("written");

            assert_eq!(detect(&stream).await, Some(expected), "{sent:?}");
            assert_eq!(stream.peek(&mut [0; 64]).await.expect("there"), sent.len());
        }
    }

    #[tokio::test]
    async fn a_preface_that_arrives_in_pieces_is_detected() {
        let (mut peer, stream) = pair().await;
        let detected = tokio::spawn(async move { detect(&stream).await });

        for piece in PREFACE.chunks(7) {
            peer.write_all(piece).await.expect("written");
            tokio::task::yield_now().await;
        }

        assert_eq!(detected.await.expect("joins"), Some(Protocol::Http2));
    }

    #[tokio::test]
    async fn a_peer_that_has_left_has_no_protocol() {
        let (peer, stream) = pair().await;

        drop(peer);

        assert_eq!(detect(&stream).await, None);
    }
}
