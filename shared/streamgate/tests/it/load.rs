//! Load that runs while a test causes a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use streamgate::testing::{Link, RedisServer, eventually_async};
use tokio::time::Instant;

use crate::harness::{Asker, Echo, Target, Worker, settled};

/// How long each call of the load may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How late a call may end. The promise is 1 s; another second is for a busy machine.
const LENIENCE: Duration = Duration::from_secs(2);

/// Sends requests from ten callers without a pause until it is stopped. Every call must end in time.
pub(crate) struct Load {
    running: Vec<tokio::task::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
}

impl Load {
    pub(crate) fn start(asker: &Arc<Asker>) -> Self {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let running = (0..10)
            .map(|caller| {
                let (asker, stop, answered) = (Arc::clone(asker), Arc::clone(&stop), Arc::clone(&answered));
                tokio::spawn(async move {
                    let mut n = 0;
                    while !stop.load(Ordering::Relaxed) {
                        n += 1;
                        let body = format!("{caller}-{n}");
                        let asked = Instant::now();
                        let ended = asker.ask_within(body.clone(), TIMEOUT).await;
                        assert!(asked.elapsed() < TIMEOUT + LENIENCE, "a call outlasted its deadline");
                        match ended {
                            Ok(answer) => {
                                assert_eq!(answer.reply.body, body);
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(_) => tokio::task::yield_now().await,
                        }
                    }
                })
            })
            .collect();
        Self { running, stop, answered }
    }

    /// Waits for 21 more replies, which shows that the system works.
    pub(crate) async fn flows(&self) {
        self.answers(21).await;
    }

    /// Waits for `count` more replies.
    pub(crate) async fn answers(&self, count: usize) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually_async("answers flow", async || self.answered.load(Ordering::Relaxed) >= before + count)
            .await;
    }

    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.running {
            caller.await.expect("every caller got its own reply");
        }
    }
}

/// Runs load on `server`, causes the `fault`, and checks that all works as before.
pub(crate) async fn heals_after(server: RedisServer, fault: impl AsyncFnOnce(&mut RedisServer, &Scene)) {
    let mut server = server;
    let scene = Scene::start(&server).await;

    fault(&mut server, &scene).await;

    scene.heals(&server).await;
}

/// Does the same over a link that `fault` disturbs.
pub(crate) async fn heals_over(fault: impl AsyncFnOnce(&Link, &Scene)) {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let scene = Scene::start(&link).await;

    fault(&link, &scene).await;

    scene.heals(&server).await;
}

/// A gateway and two workers, under load.
pub(crate) struct Scene {
    pub(crate) asker: Arc<Asker>,
    pub(crate) load: Load,
    _workers: [Worker; 2],
}

impl Scene {
    pub(crate) async fn start(target: &impl Target) -> Self {
        let asker = Arc::new(Asker::start(target, None).await);
        let workers = [Worker::start(target, "w1", Echo).await, Worker::start(target, "w2", Echo).await];
        let load = Load::start(&asker);
        load.flows().await;
        Self { asker, load, _workers: workers }
    }

    /// Checks that replies come again and that no caller and no entry is left over.
    pub(crate) async fn heals(self, server: &RedisServer) {
        self.load.flows().await;
        self.load.stop().await;
        assert_eq!(self.asker.requester.pending(), 0);
        settled(server).await;
    }
}
