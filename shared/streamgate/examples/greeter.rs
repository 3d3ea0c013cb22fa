//! A complete worker: it replies to the requests that ingress puts on the stream.
//!
//! Start `make up`, then `cargo run -p streamgate --example greeter`. If the proxy runs too, both share the requests.
//! REDIS_URL and WORKER_NAME have the same meaning as for the proxy.

use std::error::Error;
use std::time::Duration;

use streamgate::connection::{ConnectionMetrics, Redis, RedisSettings};
use streamgate::responder::{Handler, Responder, ResponderMetrics, ResponderSettings, Response, Work};
use streamgate::telemetry::Readiness;
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// After a signal the worker has this time to finish the requests that it holds.
const GRACE: Duration = Duration::from_secs(30);

struct Greeter;

impl Handler for Greeter {
    async fn handle(&self, work: Work) -> Response {
        let body = String::from_utf8_lossy(&work.request.body);
        Response::json(serde_json::json!({ "hello": work.request.id, "youSent": body }).to_string())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = work().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn work() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let name = std::env::var("WORKER_NAME").unwrap_or_else(|_| format!("greeter-{}", std::process::id()));

    let readiness = Readiness::default();
    let redis = Redis::open(
        RedisSettings::new(url.parse().map_err(|rule| format!("REDIS_URL {rule}"))?),
        ConnectionMetrics::declare(),
        readiness.latch("redis"),
    )?;
    let settings = ResponderSettings::new(
        "weather-requests".parse()?,
        "weather-responses".parse()?,
        "weather-workers",
        &name,
    );
    let metrics = ResponderMetrics::declare(&settings);
    eprintln!("waits for requests on {}", settings.group.stream);
    Responder::new(redis, settings, metrics, &readiness, Greeter).run(on_signal()?, GRACE).await?;
    Ok(())
}

/// A token that SIGTERM and Ctrl-C cancel.
fn on_signal() -> std::io::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = ctrl_c() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}
