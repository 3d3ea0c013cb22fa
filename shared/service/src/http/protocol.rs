use std::time::Duration;

use tokio::net::TcpStream;

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// How every HTTP/2 connection starts (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that were looked at keep a socket readable, so there is nothing to wait for but time.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the peer of `stream` speaks, by its first bytes, which stay unread; `None` if it has gone.
///
/// It waits as long as the peer does not say: bounding that is the caller's. hyper-util's own
/// decision knows no bound, so a lone `P` would hold a connection for ever.
pub(super) async fn spoken(stream: &TcpStream) -> Option<Protocol> {
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
    async fn the_first_bytes_say_what_is_spoken_and_stay_unread() {
        for (said, expected) in [
            (PREFACE, Protocol::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and frames", Protocol::Http2),
            (b"PRI * HTTP/1.1\r\n", Protocol::Http1),
            (b"PUT", Protocol::Http1),
            (b"G", Protocol::Http1),
        ] {
            let (mut peer, stream) = pair().await;
            peer.write_all(said).await.expect("written");

            assert_eq!(spoken(&stream).await, Some(expected), "{said:?}");
            assert_eq!(stream.peek(&mut [0; 64]).await.expect("there"), said.len());
        }
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_put_together() {
        let (mut peer, stream) = pair().await;
        let spoken = tokio::spawn(async move { spoken(&stream).await });

        for piece in PREFACE.chunks(7) {
            peer.write_all(piece).await.expect("written");
            tokio::task::yield_now().await;
        }

        assert_eq!(spoken.await.expect("joins"), Some(Protocol::Http2));
    }

    #[tokio::test]
    async fn a_peer_that_left_speaks_nothing() {
        let (peer, stream) = pair().await;

        drop(peer);

        assert_eq!(spoken(&stream).await, None);
    }
}
