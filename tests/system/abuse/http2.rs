use std::time::Duration;

use futures_util::future::join_all;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{FORECAST, Footprint, Witness, connect, metric, resident_mb};
use crate::harness::{Process, ingress, proxy};

// Frame types (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
// Their flags.
const NONE: u8 = 0;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Short, so that abuse has its effect at once.
const TIGHT: [(&str, &str); 2] = [("HEADER_TIMEOUT", "1s"), ("WRITE_TIMEOUT", "1s")];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend_from_slice(&[kind, flags]);
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A field, uncompressed and not to be remembered (RFC 7541, 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let mut field = vec![0, name.len() as u8];
    field.extend_from_slice(name.as_bytes());
    // A length is an integer with a prefix of 7 bits (RFC 7541, 5.1).
    match value.len() {
        short @ ..127 => field.push(short as u8),
        long => {
            field.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                field.push((rest % 128 + 128) as u8);
                rest /= 128;
            }
            field.push(rest as u8);
        }
    }
    field.extend_from_slice(value.as_bytes());
    field
}

fn head(method: &str, path: &str) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x")];
    let mut head: Vec<u8> = fields.iter().flat_map(|(name, value)| field(name, value)).collect();
    if method == "POST" {
        head.extend(field("content-type", "application/json"));
    }
    head
}

/// A forecast asked for and at once no longer wanted.
fn asked_and_reset(stream: u32) -> Vec<u8> {
    let body = format!("{{\"city\":\"Reset {stream}\"}}");
    [
        frame(HEADERS, END_HEADERS, stream, &head("POST", FORECAST)),
        frame(DATA, END_STREAM, stream, body.as_bytes()),
        frame(RST_STREAM, NONE, stream, &8_u32.to_be_bytes()),
    ]
    .concat()
}

async fn open(ingress: &Process, settings: &[u8]) -> TcpStream {
    let mut stream = connect(ingress.address(0)).await;
    let start = [PREFACE, &frame(SETTINGS, NONE, 0, settings)].concat();
    stream.write_all(&start).await.expect("written");
    stream
}

/// How a connection ended: the error code of its GOAWAY, if it said one.
async fn end(mut stream: TcpStream) -> Option<u32> {
    let mut code = None;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == GOAWAY {
            code = payload.get(4..8).map(|code| u32::from_be_bytes(code.try_into().expect("four bytes")));
        }
    }
    code
}

/// Answers pings, as a caller that is there, and does nothing else, until the connection ends.
async fn answer_pings(mut stream: TcpStream) {
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        if (head[3], head[4]) == (PING, NONE)
            && stream.write_all(&frame(PING, ACK, 0, &payload)).await.is_err()
        {
            return;
        }
    }
}

/// Sends the same (numbered) frames again and again until the peer has had enough or `times` are
/// sent, and reads meanwhile or not.
async fn flood(stream: TcpStream, times: u32, frames: impl Fn(u32) -> Vec<u8>) -> Option<u32> {
    let stream = stream.into_std().expect("a socket");
    let reading = TcpStream::from_std(stream.try_clone().expect("a copy")).expect("a socket");
    let mut writing = TcpStream::from_std(stream).expect("a socket");
    let reading = tokio::spawn(end(reading));
    for n in 0..times {
        if writing.write_all(&frames(n)).await.is_err() {
            break;
        }
    }
    let _ = writing.shutdown().await;
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("it ends").expect("joins")
}

#[tokio::test]
async fn floods_of_frames_cost_little_and_others_are_answered() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let (before, memory) = (Footprint::of(&ingress).await, resident_mb(&ingress));
    let long = "a".repeat(8_000);
    // What is sent, how often, and whether the connection must be given up with an error.
    type Frames<'a> = Box<dyn Fn(u32) -> Vec<u8> + 'a>;
    let floods: [(&str, u32, bool, Frames<'_>); 8] = [
        ("rapid reset", 20_000, true, Box::new(|n| asked_and_reset(2 * n + 1))),
        (
            "continuations without end",
            20_000,
            true,
            Box::new(|n| match n {
                0 => frame(HEADERS, END_STREAM, 1, &head("GET", "/livez")),
                n => frame(CONTINUATION, NONE, 1, &field("x", &long[..n as usize % 8_000])),
            }),
        ),
        (
            "empty continuations",
            50_000,
            true,
            Box::new(|n| match n {
                0 => frame(HEADERS, END_STREAM, 1, &head("GET", "/livez")),
                _ => frame(CONTINUATION, NONE, 1, &[]),
            }),
        ),
        ("pings", 50_000, false, Box::new(|n| frame(PING, NONE, 0, &u64::from(n).to_be_bytes()))),
        ("settings", 50_000, false, Box::new(|_| frame(SETTINGS, NONE, 0, &[]))),
        (
            "empty data",
            50_000,
            true,
            Box::new(|n| match n {
                0 => frame(HEADERS, END_HEADERS, 1, &head("POST", FORECAST)),
                _ => frame(DATA, NONE, 1, &[]),
            }),
        ),
        (
            "windows beyond the largest",
            10,
            true,
            Box::new(|_| frame(WINDOW_UPDATE, NONE, 0, &0x7fff_ffff_u32.to_be_bytes())),
        ),
        (
            "heads that are too large",
            2_000,
            false,
            Box::new(|n| {
                let large = [head("GET", "/livez"), field("x", &long), field("y", &long)].concat();
                let mut frames = frame(HEADERS, END_STREAM, 2 * n + 1, &large[..16_000]);
                frames.extend(frame(CONTINUATION, NONE, 2 * n + 1, &large[16_000..]));
                frames.extend(frame(CONTINUATION, NONE, 2 * n + 1, &field("z", &long)));
                frames.extend(frame(CONTINUATION, END_HEADERS, 2 * n + 1, &field("u", &long)));
                frames
            }),
        ),
    ];

    for (what, times, given_up, frames) in floods {
        let attempts = join_all((0..4).map(|_| async {
            let stream = open(&ingress, &[]).await;
            flood(stream, times, &frames).await
        }));

        let (ends, ()) = tokio::join!(attempts, witness.goes_on());

        if given_up {
            // A reset of the connection may overtake the reason.
            assert!(ends.iter().any(|code| code.is_some_and(|code| code != 0)), "{what}: {ends:?}");
            assert!(!ends.contains(&Some(0)), "{what}: {ends:?}");
        }
        let grown = resident_mb(&ingress).saturating_sub(memory);
        assert!(grown < 64, "{what}: {grown} MB");
    }

    before.is_back(&ingress, &server).await;
    witness.leave().await;
    let stored: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "weather-requests", "-", "+"]);
    let reset =
        stored.iter().filter(|(_, fields)| fields.iter().any(|field| field.contains("Reset"))).count();
    assert!(reset < 4 * 1_000, "{reset} of 80000 requests that their caller had reset were stored");
}

#[tokio::test]
async fn a_connection_that_only_pings_does_not_stay() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let before = Footprint::of(&ingress).await;

    let ends = join_all((0..20).map(|_| async {
        let stream = open(&ingress, &[]).await.into_std().expect("a socket");
        let mut writing = TcpStream::from_std(stream.try_clone().expect("a copy")).expect("a socket");
        let pinging = async {
            while writing.write_all(&frame(PING, NONE, 0, &[0; 8])).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            std::future::pending().await
        };
        tokio::select! {
            code = end(TcpStream::from_std(stream).expect("a socket")) => code,
            () = pinging => None,
        }
    }));
    let ends = tokio::time::timeout(Duration::from_secs(30), ends).await.expect("all are ended");

    assert_eq!(ends, vec![Some(0); 20], "an orderly end (RFC 9113, 6.8)");
    before.is_back(&ingress, &server).await;
    witness.leave().await;
}

#[tokio::test]
async fn a_caller_whose_window_stays_closed_is_cut_off() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let (before, memory) = (Footprint::of(&ingress).await, resident_mb(&ingress));
    // SETTINGS_INITIAL_WINDOW_SIZE of 0.
    let closed = [0, 4, 0, 0, 0, 0];

    let streams = join_all((0..20).map(|_| async {
        let mut stream = open(&ingress, &closed).await;
        for n in 0..100 {
            let head = head("GET", "/swagger/swagger-ui-bundle.js");
            let asked = frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head);
            stream.write_all(&asked).await.expect("written");
        }
        stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await.expect("written");
        stream
    }))
    .await;
    let callers: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(answer_pings(stream))).collect();
    witness.goes_on().await;
    eventually_async("all of them are given up", async || {
        metric(&ingress, "http_connections_timed_out_total").await >= 20.0
    })
    .await;

    let grown = resident_mb(&ingress).saturating_sub(memory);
    assert!(grown < 64, "{grown} MB");
    before.is_back(&ingress, &server).await;
    join_all(callers).await;
    witness.leave().await;
}
