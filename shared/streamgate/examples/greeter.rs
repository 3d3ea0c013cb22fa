//! A worker of your own, complete: it answers what ingress puts on the stream.
//!
//! With `make up` running and its proxy out of the way (or beside it: they share the work),
//! `cargo run -p streamgate --example greeter`. REDIS_URL and WORKER_NAME as for the proxy.

use std::time::Duration;

use streamgate::connection::ConnectionMetrics;
use streamgate::connection::{Redis, RedisSettings};
use streamgate::telemetry::{LogFormat, Readiness, init_logs};
use streamgate::worker::ResponderMetrics;
use streamgate::worker::{Handler, Responder, ResponderSettings, Response, Work};
use streamgate::{process, shutdown};

/// Longest time from the signal to the end.
const GRACE: Duration = Duration::from_secs(30);

struct Greeter;

impl Handler for Greeter {
    async fn handle(&self, work: Work) -> Response {
        let body = String::from_utf8_lossy(&work.request.body);
        Response::json(serde_json::json!({ "hello": work.request.id, "youSent": body }).to_string())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let _last_lines = init_logs(LogFormat::Pretty, &"info".parse()?);
    process::runtime(1)?.block_on(async {
        let stop = shutdown::on_signal(GRACE)?;
        let readiness = Readiness::default();
        let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
        let name = std::env::var("WORKER_NAME").unwrap_or_else(|_| format!("greeter-{}", std::process::id()));

        let redis = Redis::open(
            RedisSettings::new(url.parse()?),
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
        let worker = Responder::new(redis, settings, metrics, &readiness, Greeter);
        worker.run(stop, GRACE).await?;
        Ok(())
    })
}
