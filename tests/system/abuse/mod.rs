//! Callers that mean no good, against the real processes: whatever they do, others are answered
//! meanwhile, and afterwards nothing of it is left.

mod fields;
mod http2;
mod operations;
mod slow;
mod smuggling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use streamgate::testing::{PATIENCE, RedisServer, eventually_async};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::{Process, client, pending};

const FORECAST: &str = "/WeatherForecast/city";

/// An ordinary caller who asks again and again on a connection of its own; each answer must be the
/// forecast it asked for.
struct Witness {
    answered: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    asking: JoinHandle<()>,
}

impl Witness {
    async fn start(ingress: &Process) -> Self {
        let (answered, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let asking = tokio::spawn({
            let (answered, stop, url) = (answered.clone(), stop.clone(), ingress.url(0, FORECAST));
            async move {
                let client = client();
                while !stop.load(Ordering::Relaxed) {
                    let city = format!("City {}", answered.load(Ordering::Relaxed));
                    let sent = client.post(&url).json(&serde_json::json!({ "city": city })).send().await;
                    let answer = sent.expect("the witness is answered");
                    assert_eq!(answer.status(), 200, "the witness is refused");
                    let forecast: serde_json::Value = answer.json().await.expect("JSON");
                    assert_eq!(forecast["city"].as_str(), Some(city.as_str()));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let witness = Self { answered, stop, asking };
        witness.goes_on().await;
        witness
    }

    /// Waits for some more answers.
    async fn goes_on(&self) {
        let enough = self.answered.load(Ordering::Relaxed) + 20;
        eventually_async("the witness is answered", async || {
            assert!(!self.asking.is_finished(), "the witness was not answered as it should be");
            self.answered.load(Ordering::Relaxed) >= enough
        })
        .await;
    }

    async fn leave(self) {
        self.goes_on().await;
        self.stop.store(true, Ordering::Relaxed);
        self.asking.await.expect("every answer was right");
    }
}

/// What a process has open, apart from the witness.
#[derive(Debug)]
struct Footprint {
    connections: f64,
    files: usize,
}

impl Footprint {
    async fn of(ingress: &Process) -> Self {
        let files = std::fs::read_dir(format!("/proc/{}/fd", ingress.pid())).expect("Linux").count();
        Self { connections: metric(ingress, "http_connections").await, files }
    }

    /// Waits until no more connections and files are open than in `self`, and no caller waits for an answer.
    async fn is_back(&self, ingress: &Process, server: &RedisServer) {
        let mut now = Self::of(ingress).await;
        let started = std::time::Instant::now();
        while now.connections > self.connections || now.files > self.files {
            assert!(started.elapsed() < PATIENCE, "was {self:?}, still {now:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
            now = Self::of(ingress).await;
        }
        eventually_async("nothing is pending", async || pending(server) == 0).await;
        // The witness may be waiting just now.
        assert!(metric(ingress, "streamgate_pending_requests").await <= 1.0);
        let log = ingress.log();
        assert!(!log.contains("panicked") && !log.contains("\"ERROR\""), "{log}");
    }
}

/// A metric on the last address of a process, which is where they are.
async fn metric(process: &Process, name: &str) -> f64 {
    let url = process.url(1, "/metrics");
    // A connection of its own, which does not stay.
    let sent = client().get(url).header("connection", "close").send().await.expect("metrics");
    let text = sent.text().await.expect("text");
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Resident memory of a process, in MB.
fn resident_mb(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a process has memory");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).expect("kB") / 1_024
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("accepted");
    stream.set_nodelay(true).expect("a socket");
    stream
}

/// Sends bytes as they are and reads until the connection is closed.
async fn exchange(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address).await;
    // It may be refused before it is written to its end.
    let _ = stream.write_all(bytes).await;
    until_closed(&mut stream).await
}

/// All that is still said on a connection, until it is closed: which it must be.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let closed = async {
        let mut part = [0; 16 << 10];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            heard.extend_from_slice(&part[..length]);
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, closed).await.is_ok();
    let heard = String::from_utf8_lossy(&heard).into_owned();
    assert!(in_time, "the connection is still open; heard {heard:?}");
    heard
}

/// The statuses of all answers in what was heard.
fn statuses(heard: &str) -> Vec<u16> {
    heard.split("HTTP/1.").skip(1).filter_map(|answer| answer.get(2..5)?.parse().ok()).collect()
}

fn post(body: &str) -> String {
    format!(
        "POST {FORECAST} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
