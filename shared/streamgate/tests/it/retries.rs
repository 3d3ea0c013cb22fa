//! Whatever Redis answers, a loop that tries again does so ever more slowly, says so once, and does not
//! connect anew each time.

use std::time::Duration;

use streamgate::testing::{Link, RedisServer, eventually_async};
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{Asker, Echo, Gate, REPLIES, REQUESTS, Target, Worker};
use crate::logs::Logs;

/// A gateway and a worker, with callers that give up soon, so that every loop has something to do.
struct Scene {
    logs: Logs,
    _callers: Vec<AbortOnDropHandle<()>>,
}

impl Scene {
    async fn start(target: &impl Target) -> Self {
        let logs = Logs::capture();
        let asker = std::sync::Arc::new(Asker::start(target, Some("r0")).await);
        let worker = Worker::start(target, "w1", Echo).await;
        assert!(asker.ask("before").await.is_ok());
        worker.forget();
        let callers = (0..2).map(|_| {
            let asker = std::sync::Arc::clone(&asker);
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    let _ = asker.ask_within("x", Duration::from_millis(300)).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }))
        });
        Self { logs, _callers: callers.collect() }
    }

    /// Waits until some loop has failed `failures` times, and looks at what was told meanwhile: one line when
    /// it began, none that it works again.
    async fn is_quiet(&self, fault: &str, failures: usize) {
        eventually_async(&format!("a loop goes on failing under {fault}"), async || {
            !self.logs.with(&format!("attempt={failures} ")).is_empty()
        })
        .await;
        let told = self.logs.told();
        for line in &told {
            let (part, again) = line.text.split_once(" error=").unwrap_or((&line.text, ""));
            let same = told.iter().filter(|other| other.text.starts_with(part)).count();
            assert!(same <= 2, "{fault}: said {same} times: {part} {again}\n{told:#?}");
        }
        assert!(self.logs.with("works again").len() <= 1, "{fault}: {told:#?}");
        assert!(told.len() <= 20, "{fault}: {told:#?}");
    }
}

/// Connections that the server has accepted, without the one that asks.
fn connections(server: &RedisServer) -> i64 {
    let stats: String = server.command(&["INFO", "stats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("INFO counts connections").trim().parse().expect("a number")
}

/// What happens under `fault` on a server with `options`; without more than a few connections.
async fn quiet_under(options: &[&str], fault: &[&str], prepare: impl Fn(&RedisServer)) {
    let server = RedisServer::start_with(&[&["--save", ""], options].concat());
    prepare(&server);
    let scene = Scene::start(&server).await;
    let before = connections(&server);

    for command in fault {
        let words: Vec<&str> = command.split(' ').collect();
        let _: redis::Value = server.command(&words);
    }

    scene.is_quiet(&fault.join("; "), 5).await;
    let made = connections(&server) - before - fault.len() as i64 - 1;
    assert!(made <= 12, "{fault:?}: {made} connections");
}

#[tokio::test]
async fn a_key_of_another_type_is_told_once() {
    for key in [&format!("{REPLIES}.r0"), REQUESTS] {
        quiet_under(&[], &[&format!("DEL {key}"), &format!("SET {key} x")], |_| ()).await;
    }
}

#[tokio::test]
async fn a_command_denied_to_the_gateway_is_told_once() {
    for command in ["xread", "xinfo", "xadd", "expire"] {
        denied(command).await;
    }
}

#[tokio::test]
async fn a_command_denied_to_the_worker_is_told_once() {
    for command in ["xreadgroup", "xack", "xclaim", "xautoclaim", "evalsha"] {
        denied(command).await;
    }
}

async fn denied(command: &str) {
    let server = RedisServer::start();
    let scene = Scene::start(&server).await;
    let (before, mut asked) = (connections(&server), 1);

    let _: () = server.command(&["ACL", "SETUSER", "default", &format!("-{command}")]);
    eventually_async("it is said", async || {
        scene.logs.with("does not let this process").iter().any(|line| line.text.contains(command))
    })
    .await;

    let named = scene.logs.with("does not let this process");
    assert!(named.iter().all(|line| line.text.contains("category=\"@")), "{named:?}");
    let refusals = async || {
        asked += 1;
        let stats: String = server.command(&["INFO", "errorstats"]);
        let count = stats.lines().find_map(|line| line.strip_prefix("errorstat_NOPERM:count="));
        // A command in a script is denied as an error of the script.
        let count = count.or(stats.lines().find_map(|line| line.strip_prefix("errorstat_ERR:count=")));
        count.is_some_and(|count| count.trim().parse::<u32>().expect("a number") >= 6)
    };
    eventually_async("Redis has denied it again and again", refusals).await;
    let told = scene.logs.told();
    assert!(told.len() <= 12, "{command}: {told:#?}");
    assert!(scene.logs.with("works again").is_empty(), "{command}: {told:#?}");
    let made = connections(&server) - before - asked - 1;
    assert!(made <= 12, "{command}: {made} connections");
}

#[tokio::test]
async fn a_demoted_node_is_told_once() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let scene = Scene::start(&old).await;

    new.follow(&old);
    new.lead();
    old.follow(&new);

    scene.is_quiet("READONLY", 5).await;
}

/// A node of a cluster that has all slots, and knows another node that nobody can reach.
const NODES: &str = "\
0000000000000000000000000000000000000001 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-16383
0000000000000000000000000000000000000002 127.0.0.1:3@4 master - 0 0 2 connected
vars currentEpoch 2 lastVoteEpoch 0
";

#[tokio::test]
async fn a_cluster_that_serves_the_slots_elsewhere_is_told_once() {
    // MOVED, then CLUSTERDOWN.
    for change in ["SETSLOT {} NODE 0000000000000000000000000000000000000002", "DELSLOTS {}"] {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "3600000"];
        let server = RedisServer::start_on(&options, |folder| {
            std::fs::write(folder.join("nodes.conf"), NODES).expect("written");
        });
        let scene = Scene::start(&server).await;
        let before = connections(&server);

        let mut changes = 0;
        for key in [REQUESTS, &format!("{REPLIES}.r0")] {
            let slot: i64 = server.command(&["CLUSTER", "KEYSLOT", key]);
            let mut cmd = redis::cmd("CLUSTER");
            change.replace("{}", &slot.to_string()).split(' ').for_each(|word| {
                cmd.arg(word);
            });
            // A slot with keys is not given away.
            let mut connection = redis::Client::open(server.url()).and_then(|client| client.get_connection());
            let connection = connection.as_mut().expect("connected");
            let mut pipe = redis::pipe();
            if change.starts_with("SETSLOT") {
                pipe.atomic().del(key);
            }
            pipe.add_command(cmd).exec(connection).expect("changed");
            changes += 2;
        }

        scene.is_quiet(change, 5).await;
        let made = connections(&server) - before - changes - 1;
        assert!(made <= 30, "{change}: {made} connections");
    }
}

#[tokio::test]
async fn a_lane_served_elsewhere_makes_no_dead_letters() {
    let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "3600000"];
    let server = RedisServer::start_on(&options, |folder| {
        std::fs::write(folder.join("nodes.conf"), NODES).expect("written");
    });
    let asker = Asker::start(&server, Some("r0")).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    let lane = format!("{REPLIES}.r0");
    let slot = server.command::<i64>(&["CLUSTER", "KEYSLOT", &lane]).to_string();

    let (answer, ()) = tokio::join!(asker.ask("keep me"), async {
        gate.wait_for(1).await;
        let other = "0000000000000000000000000000000000000002";
        let _: String = server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", other]);
        gate.open();
        eventually_async("a reply is sent away", async || {
            server.command::<String>(&["INFO", "errorstats"]).contains("errorstat_MOVED")
        })
        .await;
        assert_eq!(server.command::<i64>(&["XLEN", &format!("{{{REQUESTS}}}:dlq")]), 0);
        let own = "0000000000000000000000000000000000000001";
        let _: String = server.command(&["CLUSTER", "SETSLOT", &slot, "NODE", own]);
    });

    assert!(answer.is_ok(), "{answer:?}");
    assert_eq!(gate.entered(), 1, "the work was done once");
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_once() {
    let mut server = RedisServer::start();
    let scene = Scene::start(&server).await;

    server.kill();

    scene.is_quiet("connection refused", 5).await;
}

#[tokio::test]
async fn a_link_that_breaks_at_each_answer_is_told_once() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let scene = Scene::start(&link).await;

    link.cut_replies_after(0);
    link.cut();

    scene.is_quiet("reset", 5).await;
}
