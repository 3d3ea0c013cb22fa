//! Starts ingress and proxy as people do, on free ports, and ends them on drop.

use std::collections::HashMap;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};
use stack::process::PATIENCE;
use streamgate::testing::{RedisServer, eventually_async};

/// How Redis keeps its data in deploy/ and k8s/.
pub(crate) const EVERYSEC: [&str; 6] = ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"];

/// A running process of ours, which answers HTTP.
pub(crate) struct Process {
    process: stack::Process,
    /// Where it answers, in the order it named them.
    addresses: Vec<String>,
}

impl Process {
    /// Starts a binary of this workspace and waits until it has named `addresses` in its first
    /// lines.
    fn start(name: &str, environment: &[(&str, &str)], addresses: &[&str]) -> Self {
        Self::launch(stack::clean(binary(name)), name, environment, addresses)
    }

    fn launch(mut command: Command, name: &str, environment: &[(&str, &str)], addresses: &[&str]) -> Self {
        command.env("LOG_FORMAT", "json").envs(environment.iter().copied());
        let started = stack::Process::start(name, command);
        let mut process =
            started.unwrap_or_else(|error| panic!("{error:#}: run `cargo build --workspace` first"));
        let addresses = process.named(addresses).expect("it names its addresses");
        Self { process, addresses }
    }

    /// Waits for its end.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE).expect("the process ends")
    }

    /// Its nth address.
    pub(crate) fn address(&self, nth: usize) -> &str {
        &self.addresses[nth]
    }

    /// The URL of `path` on its nth address.
    pub(crate) fn url(&self, nth: usize, path: &str) -> String {
        format!("http://{}{path}", self.addresses[nth])
    }
}

impl Deref for Process {
    type Target = stack::Process;

    fn deref(&self) -> &stack::Process {
        &self.process
    }
}

/// A worker with a short lease, ready to work.
pub(crate) async fn proxy(server: &RedisServer, name: &str, environment: &[(&str, &str)]) -> Process {
    let process = proxy_unready(server, name, environment);
    ready(&process, &process.url(0, "/readyz")).await;
    process
}

/// One that may not be ready yet.
pub(crate) fn proxy_unready(server: &RedisServer, name: &str, environment: &[(&str, &str)]) -> Process {
    let url = server.url();
    let mut all = vec![
        ("REDIS_URL", url.as_str()),
        ("PROXY_LISTEN", "127.0.0.1:0"),
        ("WORKER_NAME", name),
        ("CLAIM_MIN_IDLE", "900ms"),
        ("LEASE_RENEWAL", "200ms"),
        ("HOUSEKEEPING_PERIOD", "500ms"),
    ];
    all.extend_from_slice(environment);
    Process::start("proxy", &all, &["operations"])
}

/// A gateway, ready for callers.
pub(crate) async fn ingress(server: &RedisServer, environment: &[(&str, &str)]) -> Process {
    gateway(stack::clean(binary("ingress")), server, environment).await
}

/// A gateway that may open at most `files` files, sockets included.
pub(crate) async fn ingress_with_files(
    files: u32,
    server: &RedisServer,
    environment: &[(&str, &str)],
) -> Process {
    let mut shell = stack::clean("sh");
    shell.arg("-c").arg(format!("ulimit -n {files}; exec \"$0\"")).arg(binary("ingress"));
    gateway(shell, server, environment).await
}

/// A gateway refuses at once while its group never had a worker. As far as it can tell, this one had.
pub(crate) fn had_a_worker(server: &RedisServer) {
    let group = ["weather-requests", "weather-workers", "1-1", "MKSTREAM"];
    let _: Result<(), _> = server.try_run(redis::cmd("XGROUP").arg("CREATE").arg(&group));
}

async fn gateway(command: Command, server: &RedisServer, environment: &[(&str, &str)]) -> Process {
    if !environment.iter().any(|(name, _)| *name == "REDIS_URL") {
        had_a_worker(server);
    }
    let process = unready(command, server, environment);
    ready(&process, &process.url(1, "/readyz")).await;
    process
}

/// A gateway that listens, whatever becomes of it.
pub(crate) fn ingress_unready(server: &RedisServer, environment: &[(&str, &str)]) -> Process {
    unready(stack::clean(binary("ingress")), server, environment)
}

fn unready(command: Command, server: &RedisServer, environment: &[(&str, &str)]) -> Process {
    let url = server.url();
    let mut all = vec![
        ("REDIS_URL", url.as_str()),
        ("INGRESS_LISTEN", "127.0.0.1:0"),
        ("INGRESS_ADMIN_LISTEN", "127.0.0.1:0"),
    ];
    all.extend_from_slice(environment);
    Process::launch(command, "ingress", &all, &["api", "admin"])
}

/// The worker of `shared/streamgate/examples/`.
pub(crate) fn greeter(server: &RedisServer) -> Process {
    Process::start("examples/greeter", &[("REDIS_URL", server.url().as_str())], &[])
}

async fn ready(process: &Process, url: &str) {
    let client = client();
    eventually_async("the process is ready", async || match client.get(url).send().await {
        Ok(answer) => answer.status().is_success(),
        Err(_) => false,
    })
    .await;
    assert!(!process.log().contains("panicked"), "{}", process.log());
}

pub(crate) fn client() -> reqwest::Client {
    // An error means that another test was first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

/// Asks for a forecast: the status and the JSON of the answer.
pub(crate) async fn ask(client: &reqwest::Client, ingress: &Process, city: &str) -> (u16, Value) {
    let sent =
        client.post(ingress.url(0, "/WeatherForecast/city")).json(&json!({ "city": city })).send().await;
    let answer = sent.expect("an answer");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// Asks for many forecasts at once; each must be the one that was asked for.
pub(crate) async fn ask_many(ingress: &Process, count: usize) {
    let client = client();
    let answers = (0..count).map(|n| {
        let client = &client;
        async move {
            let city = format!("City {n}");
            let (status, forecast) = ask(client, ingress, &city).await;
            assert_eq!((status, forecast["city"].as_str()), (200, Some(city.as_str())), "{forecast}");
        }
    });
    futures_util::future::join_all(answers).await;
}

/// Sends requests without pause from `callers` callers until `stop` is set, and counts the answers. Each answer
/// must be the forecast that its caller asked for.
pub(crate) async fn ask_until(stop: &AtomicBool, answered: &AtomicUsize, ingress: &Process, callers: usize) {
    call_until(stop, ingress, callers, |call| {
        call.assert_right();
        answered.fetch_add(1, Ordering::Relaxed);
    })
    .await;
}

/// What a caller asked for and got.
pub(crate) struct Call {
    /// A city that no other call of the test asks for.
    city: String,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) status: u16,
    pub(crate) answer: Value,
}

impl Call {
    /// Fails unless it got the forecast that it asked for.
    pub(crate) fn assert_right(&self) {
        let got = (self.status, self.answer["city"].as_str());
        assert_eq!(got, (200, Some(self.city.as_str())), "{}", self.answer);
    }
}

/// Sends requests without pause from `callers` callers until `stop` is set, and passes each call to `over`.
/// A call without an answer fails the test.
pub(crate) async fn call_until(
    stop: &AtomicBool,
    ingress: &Process,
    callers: usize,
    over: impl Fn(Call) + Sync,
) {
    let callers = (0..callers).map(|caller| {
        let over = &over;
        async move {
            let client = client();
            for nth in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let city = format!("City {caller} {nth}");
                let began = Instant::now();
                let (status, answer) = ask(&client, ingress, &city).await;
                over(Call { city, began, ended: Instant::now(), status, answer });
            }
        }
    });
    futures_util::future::join_all(callers).await;
}

/// Waits until every entry on the request stream is delivered and acknowledged.
pub(crate) async fn everything_is_settled(server: &RedisServer) {
    eventually_async("everything is settled", async || pending(server) == 0 && all_is_delivered(server))
        .await;
}

/// Lag would not do: Redis cannot always tell it.
fn all_is_delivered(server: &RedisServer) -> bool {
    let last_entry: Vec<(String, redis::Value)> =
        server.command(&["XREVRANGE", "weather-requests", "+", "-", "COUNT", "1"]);
    let groups: Vec<HashMap<String, redis::Value>> = server.command(&["XINFO", "GROUPS", "weather-requests"]);
    let delivered: String =
        redis::from_redis_value_ref(&groups[0]["last-delivered-id"]).expect("an entry id");
    last_entry.first().is_none_or(|(id, _)| *id == delivered)
}

/// How many entries are delivered and not acknowledged.
pub(crate) fn pending(server: &RedisServer) -> u64 {
    let summary: redis::Value = server.command(&["XPENDING", "weather-requests", "weather-workers"]);
    match summary {
        redis::Value::Array(parts) => redis::from_redis_value_ref(&parts[0]).expect("a count"),
        other => panic!("{other:?}"),
    }
}

/// Who holds the only pending entry.
pub(crate) fn holder(server: &RedisServer) -> Option<String> {
    let command = ["XPENDING", "weather-requests", "weather-workers", "-", "+", "1"];
    let mut cmd = redis::cmd(command[0]);
    command[1..].iter().for_each(|word| {
        cmd.arg(*word);
    });
    let pending: Vec<(String, String, u64, u64)> = server.try_run(&cmd).ok()?;
    pending.into_iter().next().map(|(_, consumer, ..)| consumer)
}

/// Waits until it is `worker`.
pub(crate) async fn held_by(server: &RedisServer, worker: &str) {
    eventually_async("the worker holds the request", async || holder(server).as_deref() == Some(worker))
        .await;
}

/// The value of a worker's metric without labels.
pub(crate) async fn metric(worker: &Process, name: &str) -> f64 {
    metric_at(worker, 0, name).await
}

/// The value of a metric without labels on the nth address of a process.
pub(crate) async fn metric_at(process: &Process, nth: usize, name: &str) -> f64 {
    let text =
        client().get(process.url(nth, "/metrics")).send().await.expect("metrics").text().await.expect("text");
    let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name)).expect("declared");
    line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number")
}

/// Binaries are beside the folder this test runs from.
pub(crate) fn binary(name: &str) -> PathBuf {
    let deps = std::env::current_exe().expect("a path");
    deps.parent().and_then(|deps| deps.parent()).expect("a target folder").join(name)
}
