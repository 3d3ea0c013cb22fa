//! The process is killed after it has sent a request and before it has settled it.

use std::process::{Child, Command, Stdio};

use streamgate::testing::{RedisServer, eventually_async};

use super::gateway::{Ask, Asker, RoutesFile, one_route, text};
use super::upstream::{Act, Upstream, ok};

/// The real process; it is killed when this value is dropped.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn start(server: &RedisServer, file: &RoutesFile, environment: &[(&str, &str)]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_proxy"))
            .args(["--redis-url", &server.url(), "--proxy-listen", "127.0.0.1:0"])
            .arg("--routes-file")
            .arg(file.path())
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.expect("the process starts"))
    }

    fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("ended");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often the upstream was asked, and the status and text of the reply, if the first worker dies with the request
/// in its hands.
async fn killed_after_sending(ask: Ask) -> (usize, u16, String, u64) {
    let server = RedisServer::start();
    let upstream = Upstream::start(|number, _| match number {
        1 => vec![Act::Hang],
        _ => vec![Act::Send(ok("done"))],
    })
    .await;
    let file = RoutesFile::new(&one_route(&upstream.url(), "", ""));
    let first = Process::start(&server, &file, &[]);
    let asker = Asker::new(&server);

    let (reply, _second) = tokio::join!(asker.ask(ask), async {
        eventually_async("the upstream is asked", async || upstream.count() == 1).await;
        first.kill();
        Process::start(&server, &file, &[])
    });

    // An entry that is not pending is sent no more.
    type Summary = (u64, Option<String>, Option<String>, Option<Vec<(String, String)>>);
    eventually_async("the entry is settled", async || {
        server.command::<Summary>(&["XPENDING", "jobs", "jobs-workers"]).0 == 0
    })
    .await;
    (upstream.count(), reply.status, text(&reply), server.command(&["XLEN", "{jobs}:dlq"]))
}

#[tokio::test]
async fn at_least_once_is_sent_twice_after_a_kill() {
    let (count, status, body, dead_letters) = killed_after_sending(Ask::post("work")).await;

    assert_eq!((count, status, dead_letters), (2, 200, 0), "{body}");
}

#[tokio::test]
async fn at_most_once_is_not_sent_again_after_a_kill() {
    let (count, status, body, dead_letters) = killed_after_sending(Ask::post("pay").at_most_once()).await;

    assert_eq!((count, status, dead_letters), (1, 502, 1), "{body}");
    assert!(body.contains("unknown whether done"), "{body}");
}
