//! A request that makes the worker process abort. A supervisor starts the process again.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use streamgate::responder::{Handler, Responder, Response, Work};
use streamgate::telemetry::Readiness;
use streamgate::testing::RedisServer;
use tokio_util::sync::CancellationToken;

use crate::harness::{Asker, Echo, Target, redis, responder_metrics, responder_settings, settled};

/// The variables that give [`worker_process`] the URL of its server and its name.
const URL: &str = "STREAMGATE_TEST_ABORTING_WORKER_URL";
const NAME: &str = "STREAMGATE_TEST_ABORTING_WORKER_NAME";

struct AbortsOnPoison;

impl Handler for AbortsOnPoison {
    async fn handle(&self, work: Work) -> Response {
        if work.request.body == "poison" {
            // Gives the requests that were read together with this one time to start.
            tokio::time::sleep(Duration::from_millis(30)).await;
            std::process::abort();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Echo.handle(work).await
    }
}

struct Url(String);

impl Target for Url {
    fn url(&self) -> String {
        self.0.clone()
    }
}

/// Not a test. The other tests start this binary with [`URL`] and [`NAME`] to get a worker process.
#[tokio::test]
#[ignore = "the worker process that the other tests here start"]
async fn worker_process() {
    let (Ok(url), Ok(name)) = (std::env::var(URL), std::env::var(NAME)) else { return };
    let metrics = responder_metrics();
    let worker = Responder::new(
        redis(&Url(url)),
        responder_settings(&name),
        metrics,
        &Readiness::default(),
        AbortsOnPoison,
    );
    let _ = worker.run(CancellationToken::new(), Duration::from_secs(10)).await;
}

fn start_worker(url: &str, name: &str) -> Child {
    Command::new(std::env::current_exe().expect("a path"))
        .args(["workers::abort::worker_process", "--exact", "--ignored"])
        .envs([(URL, url), (NAME, name)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the worker starts")
}

/// Starts the worker process again whenever it ends, as systemd and Kubernetes do.
struct Supervised {
    crashes: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    running: Option<JoinHandle<()>>,
}

impl Supervised {
    /// `name` returns the name of the nth process.
    fn start(server: &RedisServer, name: impl Fn(usize) -> String + Send + 'static) -> Self {
        let (crashes, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (url, counted, stopped) = (server.url(), Arc::clone(&crashes), Arc::clone(&stop));
        let running = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut worker = start_worker(&url, &name(counted.load(Ordering::Relaxed)));
                while worker.try_wait().expect("its state is known").is_none() {
                    if stopped.load(Ordering::Relaxed) {
                        let _ = worker.kill();
                        let _ = worker.wait();
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { crashes, stop, running: Some(running) }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.running.take().map(JoinHandle::join);
    }
}

/// Checks that only the request `poison` becomes a dead letter. It is sent first, so that it is always
/// the first to be delivered again.
async fn check_that_only_the_poison_is_given_up(name: impl Fn(usize) -> String + Send + 'static) {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let poison = asker.ask("poison");
    let others = futures_util::future::join_all((0..20).map(|n| asker.ask(n.to_string())));

    let (poison, others, worker) = tokio::join!(poison, others, async { Supervised::start(&server, name) });

    assert_eq!(poison.expect("an answer").reply.status, 502);
    for (n, answer) in others.into_iter().enumerate() {
        let reply = answer.expect("an answer").reply;
        assert_eq!((reply.status, reply.body), (200, n.to_string().into()));
    }
    settled(&server).await;
    let letters: Vec<(String, Vec<String>)> = server.command(&["XRANGE", "{requests}:dlq", "-", "+"]);
    assert_eq!((letters.len(), &*letters[0].1[1]), (1, "given up after 5 deliveries"));
    // There are fewer crashes if a process stood still for a lease and claimed its own entry: that claim
    // counts as a delivery, too.
    let crashes = worker.crashes.load(Ordering::Relaxed);
    assert!((1..=5).contains(&crashes), "at most one crash per delivery: {crashes}");
}

#[tokio::test]
async fn only_the_request_that_aborts_its_worker_is_given_up() {
    check_that_only_the_poison_is_given_up(|_| "w1".to_owned()).await;
}

#[tokio::test]
async fn only_the_request_that_aborts_every_worker_is_given_up() {
    check_that_only_the_poison_is_given_up(|nth| format!("w{nth}")).await;
}
