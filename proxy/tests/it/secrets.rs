//! The real binary never shows its secrets.

use std::process::{Child, Command, Stdio};

use streamgate::testing::{RedisServer, eventually, eventually_async};

use crate::harness::{REPLIES, TOKEN, add_request, client};
use crate::open_meteo::stub::Stub;

const SECRET: &str = "hunter2";

#[tokio::test]
async fn a_key_for_the_weather_service_is_sent_and_never_logged() {
    let (server, stub) = (RedisServer::start(), Stub::healthy().await);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let log = || std::fs::read_to_string(&path).expect("a log");
    let mut command = proxy();
    command.env("REDIS_URL", server.url()).env("RUST_LOG", "trace").env("WEATHER_PROVIDER", "open-meteo");
    command.env("OPEN_METEO_FORECAST_URL", format!("{}?apikey={SECRET}", stub.forecast_url));
    command.env("OPEN_METEO_GEOCODING_URL", format!("{}?apikey={SECRET}", stub.geocoding_url));
    let file = std::fs::File::create(&path).expect("a log file");
    let _running = Running(command.stderr(file).spawn().expect("starts"));

    add_request(&server);

    eventually_async("the request is answered", async || server.command::<u64>(&["XLEN", REPLIES]) == 1)
        .await;
    assert_eq!((&stub.geocoding.last()["apikey"][..], &stub.forecast.last()["apikey"][..]), (SECRET, SECRET));
    // Lines are written by a thread of their own.
    eventually("the log has lines of every level", || log().contains("TRACE"));
    let log = log();
    assert!(!log.contains(SECRET), "{log}");
}

#[tokio::test]
async fn a_right_or_wrong_admin_token_is_never_logged_or_shown() {
    const WRONG: &str = "another-token-altogether";
    let server = RedisServer::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let log = || std::fs::read_to_string(&path).expect("a log");
    let mut command = proxy();
    command.env("REDIS_URL", server.url()).env("RUST_LOG", "trace").env("ADMIN_TOKEN", TOKEN);
    let file = std::fs::File::create(&path).expect("a log file");
    let _running = Running(command.stderr(file).spawn().expect("starts"));
    let mut address = String::new();
    eventually_async("the log names the address", async || {
        let log = log();
        let after = log.split("operations=").nth(1).and_then(|rest| rest.split_whitespace().next());
        address = after.unwrap_or_default().to_owned();
        !address.is_empty()
    })
    .await;

    let (mut statuses, http_1) = (Vec::new(), client().build().expect("a client"));
    let http_2 = client().http2_prior_knowledge().build().expect("a client");
    for client in [http_1, http_2] {
        for token in [WRONG, TOKEN] {
            let request = client.get(format!("http://{address}/dead-letters")).bearer_auth(token);
            let answer = request.send().await.expect("answered");
            statuses.push(answer.status().as_u16());
            let text = format!("{:?} {}", answer.headers().clone(), answer.text().await.expect("text"));
            assert!(!text.contains(TOKEN) && !text.contains(WRONG), "{text}");
        }
    }

    assert_eq!(statuses, [401, 200, 401, 200]);
    let log = log();
    assert!(log.contains("TRACE") && !log.contains(TOKEN) && !log.contains(WRONG), "{log}");
}

#[test]
fn a_missing_admin_token_is_logged_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("log");
    let file = std::fs::File::create(&path).expect("a log file");
    let mut command = proxy();
    command.env("REDIS_URL", format!("unix://{}", folder.path().join("none").display()));
    let _running = Running(command.stderr(file).spawn().expect("starts"));
    let log = || std::fs::read_to_string(&path).expect("a log");

    eventually("the log names the missing token and a later line", || {
        let log = log();
        log.contains("set ADMIN_TOKEN") && log.lines().count() > 2
    });

    assert_eq!(log().matches("ADMIN_TOKEN").count(), 1, "{}", log());
}

#[test]
fn the_help_shows_no_secret_of_the_environment() {
    let mut command = proxy();
    for variable in ["ADMIN_TOKEN", "REDIS_URL", "OPEN_METEO_FORECAST_URL", "OPEN_METEO_GEOCODING_URL"] {
        command.env(variable, format!("http://{SECRET}"));
    }

    let output = command.arg("--help").stdout(Stdio::piped()).output().expect("runs");

    let said = String::from_utf8(output.stdout).expect("text");
    assert!(said.contains("OPEN_METEO_FORECAST_URL") && !said.contains(SECRET), "{said}");
}

/// The binary with an environment of its own, on a free port.
fn proxy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_proxy"));
    command.env_clear().env("PROXY_LISTEN", "127.0.0.1:0");
    command
}

/// A process that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
