//! Metrics, probes and traces of producers and consumers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use stack::Process;
use streamgate::testing::eventually;

use crate::harness::{Flow, until_logged};

/// The answer to a GET on the operations port of a process.
fn get(process: &mut Process, path: &str) -> String {
    let address = process.named(&["operations"]).expect("it names its port").swap_remove(0);
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n").expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[tokio::test]
async fn metrics_and_probes_tell_what_the_parts_do() {
    let mut flow = Flow::new().await;
    let mut consumer = flow.consumer("c1", "1ms");
    let mut producer = flow.producer("Producer1", "30s");
    until_logged(&consumer, "done", 1);

    for (process, lines) in [
        (&mut producer, &["redisflow_made_total 1", "redisflow_sent_total 1", "redisflow_kept 0"][..]),
        (
            &mut consumer,
            &["redisflow_consumed_total{result=\"done\"} 1", "redisflow_consume_seconds_count 1"],
        ),
    ] {
        let metrics = get(process, "/metrics");
        for line in lines {
            let name = line.split(['{', ' ']).next().expect("a name").trim_end_matches("_count");
            assert!(metrics.contains(&format!("\n{line}\n")), "{line} in {metrics}");
            assert!(metrics.contains(&format!("# HELP {name} ")), "{name} in {metrics}");
        }
        assert!(get(process, "/readyz").starts_with("HTTP/1.0 200"), "{}", process.log());
    }
    flow.server.kill();
    eventually("they are not ready", || {
        [&mut producer, &mut consumer]
            .into_iter()
            .all(|process| get(process, "/readyz").contains("not ready: "))
    });
    assert!(get(&mut consumer, "/livez").starts_with("HTTP/1.0 200"));
}

/// A collector that keeps the bodies it gets.
fn collector() -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&bodies);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut request = Vec::new();
            let mut buffer = [0; 65_536];
            let body = loop {
                let count = stream.read(&mut buffer).expect("a request");
                request.extend_from_slice(&buffer[..count]);
                let Some(head) = request.windows(4).position(|it| it == b"\r\n\r\n") else { continue };
                let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
                let length =
                    text.split("content-length: ").nth(1).and_then(|it| it.lines().next()?.parse().ok());
                if request.len() >= head + 4 + length.unwrap_or(0) {
                    break request.split_off(head + 4);
                }
            };
            kept.lock().expect("no panic").push(body);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, bodies)
}

#[tokio::test]
async fn one_trace_leads_from_the_producer_to_the_consumer() {
    let flow = Flow::new().await;
    let (url, bodies) = collector();
    let traced = |arguments: &[&str]| {
        let mut command = flow.command(arguments);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url).env("OTEL_BSP_SCHEDULE_DELAY", "20");
        Process::start(arguments[0], command).expect("it starts")
    };
    let consumer = traced(&["consumer", "--name", "c1", "--work", "1ms"]);
    let _producer = traced(&["producer", "--every", "30s"]);
    until_logged(&consumer, "done", 1);

    let entries = flow.raw();
    let (name, traceparent) = &entries[0].1[2];
    assert_eq!(name, "traceparent");
    let trace = String::from_utf8(traceparent[3..35].to_vec()).expect("text");
    let trace = u128::from_str_radix(&trace, 16).expect("a trace id").to_be_bytes();
    let has = |body: &[u8], part: &[u8]| body.windows(part.len()).any(|it| it == part);
    eventually("both spans of the trace arrive", || {
        let bodies = bodies.lock().expect("no panic");
        ["send redisflow:stream", "process redisflow:stream"]
            .iter()
            .all(|span| bodies.iter().any(|body| has(body, span.as_bytes()) && has(body, &trace)))
    });
}
