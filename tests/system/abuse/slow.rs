use std::time::Duration;

use futures_util::future::join_all;
use streamgate::testing::{RedisServer, eventually_async};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Footprint, Witness, connect, exchange, metric, post, resident_mb, statuses, until_closed};
use crate::harness::{ask, client, ingress, ingress_with_files, proxy};

/// Short, and few places, so that abuse has its effect at once.
const TIGHT: [(&str, &str); 3] =
    [("HEADER_TIMEOUT", "1s"), ("WRITE_TIMEOUT", "1s"), ("MAX_CONNECTIONS", "32")];
/// All of those but the witness's.
const ALL_PLACES: usize = 31;

/// Sends a byte now and then for as long as it may, then tells what it heard.
async fn dribble(mut stream: TcpStream) -> String {
    loop {
        let mut heard = [0; 4096];
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                if stream.write_all(b"a").await.is_err() {
                    return until_closed(&mut stream).await;
                }
            }
            length = stream.read(&mut heard) => {
                let start = String::from_utf8_lossy(&heard[..length.unwrap_or(0)]).into_owned();
                return start + &until_closed(&mut stream).await;
            }
        }
    }
}

#[tokio::test]
async fn callers_who_never_finish_are_cut_off_and_others_answered() {
    for (start, told) in [
        ("GET /livez HTTP/1.1\r\nhost: x\r\nx-long: ".to_owned(), None),
        ("GET /".to_owned(), None),
        (post(&"a".repeat(60_000)).split_at(200).0.to_owned(), Some(408)),
        (post("").replace("content-length: 0", "transfer-encoding: chunked") + "ffff\r\n", Some(408)),
    ] {
        let server = RedisServer::start();
        let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
        let witness = Witness::start(&ingress).await;
        let before = Footprint::of(&ingress).await;
        let streams = join_all((0..ALL_PLACES).map(|_| async {
            let mut stream = connect(ingress.address(0)).await;
            stream.write_all(start.as_bytes()).await.expect("written");
            stream
        }))
        .await;

        let (heard, ()) = tokio::join!(join_all(streams.into_iter().map(dribble)), witness.goes_on());

        for heard in heard {
            assert_eq!(statuses(&heard).first().copied(), told, "{heard:?} after {start:?}");
        }
        assert_eq!(ask(&client(), &ingress, "Oslo").await.0, 200, "there is a place again");
        before.is_back(&ingress, &server).await;
        if told.is_none() {
            assert!(metric(&ingress, "http_connections_timed_out_total").await >= ALL_PLACES as f64);
        }
        witness.leave().await;
    }
}

#[tokio::test]
async fn connections_that_ask_once_and_stay_do_not_keep_others_out() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let before = Footprint::of(&ingress).await;

    let mut idle = join_all((0..ALL_PLACES).map(|_| async {
        let mut stream = connect(ingress.address(0)).await;
        stream.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("written");
        stream
    }))
    .await;
    let newcomer =
        exchange(ingress.address(0), b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");

    assert_eq!(statuses(&newcomer.await), [200]);
    for stream in &mut idle {
        assert_eq!(statuses(&until_closed(stream).await), [200]);
    }
    before.is_back(&ingress, &server).await;
    witness.leave().await;
}

#[tokio::test]
async fn callers_who_ask_and_never_read_are_cut_off_at_a_bounded_cost() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let (before, memory) = (Footprint::of(&ingress).await, resident_mb(&ingress));
    // The largest answer there is, more often than the system's buffers hold.
    let greedy = "GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nhost: x\r\n\r\n".repeat(40);

    let streams = join_all((0..ALL_PLACES).map(|_| async {
        let mut stream = connect(ingress.address(0)).await;
        stream.write_all(greedy.as_bytes()).await.expect("written");
        stream
    }))
    .await;
    eventually_async("all of them are given up", async || {
        metric(&ingress, "http_connections_timed_out_total").await >= ALL_PLACES as f64
    })
    .await;

    let grown = resident_mb(&ingress).saturating_sub(memory);
    assert!(grown < 64, "{grown} MB for {ALL_PLACES} callers who do not read");
    before.is_back(&ingress, &server).await;
    drop(streams);
    witness.leave().await;
}

#[tokio::test]
async fn a_flood_of_connections_leaves_others_their_files() {
    let server = RedisServer::start();
    let limits = [("HEADER_TIMEOUT", "1s")];
    let _proxy = proxy(&server, "w1", &[]).await;
    let ingress = ingress_with_files(128, &server, &limits).await;
    let witness = Witness::start(&ingress).await;
    let before = Footprint::of(&ingress).await;

    let flood = join_all((0..500).map(|_| connect(ingress.address(0)))).await;
    eventually_async("all places are taken", async || {
        let (open, limit) =
            (metric(&ingress, "http_connections").await, metric(&ingress, "http_connections_limit").await);
        open >= limit
    })
    .await;
    for probe in ["/livez", "/readyz"] {
        let answer = client().get(ingress.url(1, probe)).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{probe}");
    }
    witness.goes_on().await;
    // It waits for its turn among those who came before and say nothing.
    let newcomer =
        exchange(ingress.address(0), b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(statuses(&newcomer.await), [200]);
    drop(flood);

    before.is_back(&ingress, &server).await;
    assert!(metric(&ingress, "http_accept_errors_total").await < 1.0, "{}", ingress.log());
    assert!(ingress.log().contains("MAX_CONNECTIONS"), "{}", ingress.log());
    assert_eq!(ask(&client(), &ingress, "Oslo").await.0, 200);
    witness.leave().await;
}

#[tokio::test]
async fn heads_and_bodies_without_end_are_refused_at_a_bounded_cost() {
    let server = RedisServer::start();
    let (_proxy, ingress) = (proxy(&server, "w1", &[]).await, ingress(&server, &TIGHT).await);
    let witness = Witness::start(&ingress).await;
    let (before, memory) = (Footprint::of(&ingress).await, resident_mb(&ingress));
    let chunked = post("").replace("content-length: 0", "transfer-encoding: chunked");
    let chunk = format!("10000\r\n{}\r\n", "a".repeat(0x1_0000));

    for (start, more, status) in [
        ("GET /livez HTTP/1.1\r\nhost: x\r\nx-endless: ".to_owned(), "a".repeat(8 << 10), 431),
        ("GET /".to_owned(), "a".repeat(8 << 10), 431),
        ("GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned(), "x-more: a\r\n".repeat(1_000), 431),
        (post("").replace("content-length: 0", "content-length: 99999999999999"), "a".repeat(64 << 10), 413),
        (chunked, chunk, 413),
    ] {
        let attempts = join_all((0..8).map(|_| async {
            let (mut reading, mut writing) = connect(ingress.address(0)).await.into_split();
            writing.write_all(start.as_bytes()).await.expect("written");
            let writes = async {
                while writing.write_all(more.as_bytes()).await.is_ok() {}
                std::future::pending::<()>().await;
            };
            let mut heard = vec![0; 4 << 10];
            let length = tokio::select! {
                () = writes => 0,
                length = reading.read(&mut heard) => length.unwrap_or(0),
            };
            String::from_utf8_lossy(&heard[..length]).into_owned()
        }));

        let (attempts, ()) = tokio::join!(attempts, witness.goes_on());

        for heard in attempts {
            assert_eq!(statuses(&heard), [status], "{heard:?} after {start:?}");
        }
    }
    let grown = resident_mb(&ingress).saturating_sub(memory);
    assert!(grown < 64, "{grown} MB");
    before.is_back(&ingress, &server).await;
    witness.leave().await;
}
