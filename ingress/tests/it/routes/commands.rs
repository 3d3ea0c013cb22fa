//! The commands about a routes file, and a start with a bad one, with the real binary.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use streamgate::testing::{RedisServer, eventually_async};

use super::fixture::{RoutesFile, route};

fn ingress(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command.args(args).env_clear().output().expect("runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn faults(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn two_faults() -> RoutesFile {
    let file = route("a", "POST", "/a", "a", "timeout: \"30\"") + &route("a", "POST", "b", "b", "");
    RoutesFile::with(&format!("routes:\n{file}"))
}

#[test]
fn check_prints_every_fault_with_its_line() {
    let file = two_faults();
    let path = file.path();
    let path = path.to_str().expect("text");

    let checked = ingress(&["check", path]);

    let faults = faults(&checked);
    assert_eq!(checked.status.code(), Some(1), "{faults}");
    assert!(faults.lines().count() >= 2, "{faults}");
    assert!(faults.lines().all(|line| line.starts_with(&format!("{path}:"))), "{faults}");
    assert!(faults.contains(":7:") && faults.contains("write 30s"), "{faults}");
    file.write(&format!("routes:\n{}", route("a", "POST", "/a", "a", "")));
    let checked = ingress(&["check", path]);
    assert_eq!((checked.status.code(), out(&checked).contains("1 routes, version ")), (Some(0), true));
}

#[test]
fn a_bad_file_ends_the_start_with_64_before_a_port_is_bound() {
    let file = two_faults();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let path = file.path();
    let path = path.to_str().expect("text");

    // If ingress tried to bind this port, it would exit with 1.
    let started = ingress(&["--ingress-listen", &address, "--routes-file", path]);

    let faults = faults(&started) + &out(&started);
    assert_eq!(started.status.code(), Some(64), "{faults}");
    assert!(faults.matches(&format!("{path}:")).count() >= 2, "every fault: {faults}");

    file.write(&format!("routes:\n{}", route("a", "POST", "/a", "a", "auth: api-key")));
    let open = ingress(&["--ingress-listen", &address, "--routes-file", path]);
    let fault = self::faults(&open) + &out(&open);
    assert_eq!(open.status.code(), Some(64), "{fault}");
    assert!(fault.contains("API_KEYS_FILE is not set"), "{fault}");
}

#[test]
fn explain_diff_openapi_and_schema_print_what_they_say() {
    let old = RoutesFile::with(&format!("routes:\n{}", route("a", "POST", "/a/{id}", "a", "")));
    let new = RoutesFile::with(&format!("routes:\n{}", route("a", "POST", "/a/{id}", "a", "timeout: 5s")));
    let (old, new) = (old.path(), new.path());
    let path = old.to_str().expect("text");
    std::fs::copy(&new, old.with_file_name("after.yaml")).expect("copied");
    let after = old.with_file_name("after.yaml");

    let found = out(&ingress(&["explain", path, "POST", "/a/7?x=1"]));
    assert!(found.contains("route: a\n") && found.contains("id=7"), "{found}");
    let refused = out(&ingress(&["explain", path, "GET", "/a/7"]));
    assert!(refused.starts_with("405"), "{refused}");
    let differs = out(&ingress(&["diff", path, after.to_str().expect("text")]));
    assert!(differs.contains("timeout") && differs.contains("5s"), "{differs}");
    let api: Value = serde_json::from_str(&out(&ingress(&["openapi", path]))).expect("JSON");
    assert_eq!(api["paths"]["/a/{id}"]["post"]["operationId"], "a");
    let schema: Value = serde_json::from_str(&out(&ingress(&["schema"]))).expect("JSON");
    assert!(schema["properties"]["routes"].is_object(), "{schema}");
}

#[tokio::test]
async fn sighup_reloads_and_ends_nothing() {
    let server = RedisServer::start();
    let file = RoutesFile::with(&format!("routes:\n{}", route("a", "GET", "/a", "a", "")));
    let (path, redis) = (file.path(), server.url());
    let address = free_address();
    let admin = free_address();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ingress"));
    command.env_clear().args(["--ingress-listen", &address, "--ingress-admin-listen", &admin]);
    command.args(["--routes-file", path.to_str().expect("text"), "--redis-url", &redis]);
    let mut process = Running(command.stdout(Stdio::null()).spawn().expect("starts"));
    let (client, url) = (crate::harness::client(), format!("http://{address}/readyz"));
    let ready = async || client.get(&url).send().await.ok()?.text().await.ok();
    eventually_async("it is ready", async || ready().await.is_some_and(|text| text.starts_with("ready")))
        .await;
    let before = ready().await;

    file.write(&format!("routes:\n{}", route("b", "GET", "/b", "a", "")));
    let sent = Command::new("kill").args(["-HUP", &process.0.id().to_string()]).status().expect("runs");
    assert!(sent.success());

    eventually_async("another version is in force", async || ready().await != before).await;
    assert!(process.0.try_wait().expect("asked").is_none(), "it still runs");
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").to_string()
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
