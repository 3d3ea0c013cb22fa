//! Runs the real binary with the log level trace.

use std::process::{Child, Command};

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::Value;
use streamgate::testing::{RedisServer, eventually, eventually_async};

use super::Keys;
use crate::harness::{BERLIN, FORECAST, create_group};

/// A valid key and an invalid key.
const SECRETS: [&str; 2] = ["sgk_hunter2", "sgk_tangerine"];

#[tokio::test]
async fn no_key_appears_in_the_log_or_in_the_metrics() {
    let (server, keys) = (RedisServer::start(), Keys::new("shop:{sgk_hunter2}:1/h"));
    create_group(&server);
    let path = keys.folder.path().join("log");
    let log = || std::fs::read_to_string(&path).expect("a log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command
        .env_clear()
        .env("REDIS_URL", server.url())
        .env("RUST_LOG", "trace")
        .env("LOG_FORMAT", "json")
        .env("REQUEST_TIMEOUT", "100ms");
    command
        .env("INGRESS_LISTEN", "127.0.0.1:0")
        .env("INGRESS_ADMIN_LISTEN", "127.0.0.1:0")
        .env("API_KEYS_FILE", keys.path());
    command.stderr(std::fs::File::create(&path).expect("a log file"));
    let _running = Running(command.spawn().expect("starts"));
    eventually("ingress listens", || log().contains("callers need an API key"));
    let (api, admin) = (logged(&log(), "api"), logged(&log(), "admin"));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http_1 = Client::builder().no_proxy().build().expect("a client");
    let http_2 = Client::builder().no_proxy().http2_prior_knowledge().build().expect("a client");
    eventually_async("ingress is ready", || async {
        let answer = http_1.get(format!("http://{api}/readyz")).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await;

    let mut statuses = Vec::new();
    for client in [&http_1, &http_2] {
        for secret in SECRETS {
            for (name, value) in
                [("x-api-key", secret.to_owned()), ("authorization", format!("Bearer {secret}"))]
            {
                let request = client.post(format!("http://{api}{FORECAST}")).header(name, value);
                let answer = request.header(CONTENT_TYPE, "application/json").body(BERLIN).send().await;
                statuses.push(answer.expect("answered").status().as_u16());
            }
        }
    }
    keys.write_raw(format!("shop:{}\n", SECRETS[1]).as_bytes());
    eventually_async("the broken file is noticed twice", || async {
        metrics(&http_1, &admin).await.contains("api_key_reload_failures_total 2")
    })
    .await;

    assert_eq!(statuses, [504, 429, 401, 401, 429, 429, 401, 401]);
    let (scrape, log) = (metrics(&http_1, &admin).await, log());
    assert!(log.contains("TRACE") && log.contains("presented a key") && log.contains("shop"), "{log}");
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in\n{log}");
        assert!(!scrape.contains(secret), "{secret} is in\n{scrape}");
    }
    assert_eq!(log.matches("line 1 must have a hash").count(), 1, "logged once:\n{log}");
}

/// The value of `field` in the first line that has it.
fn logged(log: &str, field: &str) -> String {
    let value = log.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        line[field].as_str().map(str::to_owned)
    });
    value.unwrap_or_else(|| panic!("no {field} in\n{log}"))
}

async fn metrics(client: &Client, admin: &str) -> String {
    let scrape = client.get(format!("http://{admin}/metrics")).send().await.expect("metrics");
    scrape.text().await.expect("text")
}

/// A process that is killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
