//! A server that refuses commands because it loads its data or cannot save it.

use std::path::PathBuf;

use streamgate::requester::RequestErrorKind;
use streamgate::resilience::BreakerState;
use streamgate::testing::{RedisServer, eventually, eventually_async};

use crate::harness::{Asker, Echo, Gate, REQUESTS, Worker, pending, settled};
use crate::load::heals_after;

/// A disk on which no snapshot can be saved, because a folder has its name.
struct BadDisk<'a> {
    server: &'a RedisServer,
    snapshot: PathBuf,
}

impl<'a> BadDisk<'a> {
    fn of(server: &'a RedisServer) -> Self {
        let dir: (String, String) = server.command(&["CONFIG", "GET", "dir"]);
        let snapshot = PathBuf::from(dir.1).join("dump.rdb");
        std::fs::create_dir(&snapshot).expect("a folder");
        let _: () = server.command(&["CONFIG", "SET", "save", "3600 1000000"]);
        let disk = Self { server, snapshot };
        disk.save("err");
        disk
    }

    fn repair(self) {
        std::fs::remove_dir(&self.snapshot).expect("removed");
        self.save("ok");
    }

    fn save(&self, outcome: &str) {
        let _: String = self.server.command(&["BGSAVE"]);
        let status = format!("rdb_last_bgsave_status:{outcome}");
        eventually("the snapshot is over", || {
            self.server.command::<String>(&["INFO", "persistence"]).contains(&status)
        });
    }
}

fn refused(server: &RedisServer, error: &str) -> bool {
    server.command::<String>(&["INFO", "errorstats"]).contains(&format!("errorstat_{error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_save_heals_when_it_can() {
    heals_after(RedisServer::start(), async |server, scene| {
        let disk = BadDisk::of(server);
        let error = scene.asker.ask("no disk").await.expect_err("refused");
        disk.repair();

        assert_eq!(error.kind, RequestErrorKind::Unavailable);
        assert!(refused(server, "MISCONF"));
        let circuit = scene.asker.redis.circuit().state();
        assert_eq!(circuit, BreakerState::Closed, "the connection has no problem");
    })
    .await;
}

#[tokio::test]
async fn a_reply_that_cannot_be_saved_is_stored_later() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;

    let (answer, ()) = tokio::join!(asker.ask("keep me"), async {
        gate.wait_for(1).await;
        let disk = BadDisk::of(&server);
        gate.open();
        eventually_async("the work is over", async || gate.left() == 1).await;
        eventually_async("the reply is refused", async || refused(&server, "MISCONF")).await;
        assert_eq!(pending(&server), 1, "not acknowledged before its reply is stored");
        disk.repair();
    });

    assert_eq!(answer.expect("an answer").reply.body, "keep me");
    assert_eq!(gate.entered(), 1, "the work was done once");
    settled(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_work_again_after_a_server_has_loaded_its_data() {
    let fill = "for i = 1, 8000 do redis.call('SET', 'filler:' .. i, i) end";
    heals_after(RedisServer::start_durable(), async |server, _| {
        let _: () = server.command(&["EVAL", fill, "0"]);
        let before: u64 = server.command(&["XLEN", REQUESTS]);
        server.restart_unready(&["--key-load-delay", "250"]);
        eventually_async("the server loads", async || {
            let info = server.try_run::<String>(redis::cmd("INFO").arg("persistence"));
            info.is_ok_and(|info| info.contains("\nloading:1"))
        })
        .await;
        eventually_async("the data is loaded", async || {
            server.try_run::<u64>(redis::cmd("XLEN").arg(REQUESTS)).is_ok_and(|length| length >= before)
        })
        .await;

        assert!(refused(server, "LOADING"), "no command was sent while the server loaded");
    })
    .await;
}

#[tokio::test]
async fn a_dead_letter_refused_without_memory_is_stored_later() {
    let server = RedisServer::start();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;
    asker.ask("warm up").await.expect("an answer");
    settled(&server).await;
    // One transaction adds the entry and takes all memory, so that nothing else can be stored.
    let mut transaction = redis::pipe();
    transaction.atomic();
    transaction.cmd("XADD").arg(REQUESTS).arg("*").arg("x").arg("y").ignore();
    transaction.cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").ignore();
    let client = redis::Client::open(server.url()).expect("a URL");
    transaction.query::<()>(&mut client.get_connection().expect("connects")).expect("executed");

    eventually_async("the dead letter is refused", async || refused(&server, "OOM")).await;
    assert_eq!(pending(&server), 1, "not acknowledged before the dead letter is stored");
    let _: () = server.command(&["CONFIG", "SET", "maxmemory", "0"]);

    settled(&server).await;
    assert_eq!(server.command::<u64>(&["XLEN", "{requests}:dlq"]), 1);
}
