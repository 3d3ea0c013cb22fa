//! Whatever error Redis returns, a loop that retries slows down, logs the error once, and does not open a
//! new connection for each attempt.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use streamgate::requester::WorkerGroup;
use streamgate::responder::{Handler, Response, Work};
use streamgate::testing::{Link, RedisServer, eventually_async};
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use crate::harness::{
    Asker, Echo, GROUP, Gate, LEASE, REPLIES, REQUESTS, Target, Worker, redis, requester_metrics,
    side_by_side,
};
use crate::logs::Logs;

/// Replies at once, or to the request `long` after a lease renewal.
struct Busy;

impl Handler for Busy {
    async fn handle(&self, work: Work) -> Response {
        if work.request.body == "long" {
            tokio::time::sleep(LEASE / 2).await;
        }
        Echo.handle(work).await
    }
}

/// A gateway, a worker, and callers with short timeouts, so that every loop sends commands.
struct Scene {
    logs: Logs,
    asker: Arc<Asker>,
    worker: Worker,
    _callers: [AbortOnDropHandle<()>; 3],
}

impl Scene {
    async fn start(target: &impl Target) -> Self {
        let logs = Logs::capture();
        // Started before the gateway, so that the gateway sees a worker at its first check.
        let worker = Worker::start(target, "w1", Busy).await;
        let asker =
            Asker::start_with_settings(redis(target), requester_metrics(), |settings, destination| {
                settings.replica = Some("r0".to_owned());
                destination.workers =
                    Some(WorkerGroup { name: GROUP.to_owned(), grace: Duration::from_secs(60) });
            });
        let asker = Arc::new(asker.await);
        assert!(asker.ask("before").await.is_ok());
        let callers = ["x", "x", "long"].map(|body| {
            let asker = Arc::clone(&asker);
            AbortOnDropHandle::new(tokio::spawn(async move {
                let mut ticks = tokio::time::interval(Duration::from_millis(5));
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    ticks.tick().await;
                    let _ = asker.ask_within(body, Duration::from_millis(300)).await;
                }
            }))
        });
        Self { logs, asker, worker, _callers: callers }
    }

    /// Waits until a loop has failed `failures` times, and also the view of the workers if the fault affects
    /// it. Then checks the log: each loop has logged its first failure once, and no loop that it works again.
    async fn check_log(&self, fault: &str, failures: usize, view: View) {
        eventually_async(&format!("a loop still fails under {fault}"), async || {
            !self.logs.with(&format!("attempt={failures} ")).is_empty()
        })
        .await;
        self.check_log_of_view(fault, view).await;
        let shown = self.logs.shown();
        for line in &shown {
            let (part, error) = line.text.split_once(" error=").unwrap_or((&line.text, ""));
            let same = shown.iter().filter(|other| other.text.starts_with(part)).count();
            assert!(same <= 2, "{fault}: logged {same} times: {part} {error}\n{shown:#?}");
        }
        assert!(self.logs.with("works again").len() <= 1, "{fault}: {shown:#?}");
        // Each dead letter has its own line, which does not belong to a loop.
        let of_loops = shown.iter().filter(|line| !line.text.contains("moved to the dead letters")).count();
        assert!(of_loops <= 10, "{fault}: {shown:#?}");
    }

    /// Checks the log of the view of the workers. It checks once per second, so it fails less often than other
    /// loops.
    async fn check_log_of_view(&self, fault: &str, view: View) {
        let failures = || self.logs.with("part=\"view of the workers\"");
        if view == View::Fails {
            eventually_async(&format!("the view still fails under {fault}"), async || failures().len() >= 3)
                .await;
        }
        let shown = failures().iter().filter(|line| line.level <= tracing::Level::INFO).count();
        assert!(shown <= 1, "{fault}: {:#?}", failures());
    }
}

/// The effect of a fault on the view of the workers.
#[derive(Clone, Copy, PartialEq)]
enum View {
    Fails,
    /// The view works, or fails too seldom to wait for.
    NotChecked,
}

/// The number of connections that the server has accepted.
fn connections(server: &RedisServer) -> i64 {
    let stats: String = server.command(&["INFO", "stats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
    line.expect("INFO counts connections").trim().parse().expect("a number")
}

#[test]
fn a_key_of_another_type_is_logged_once() {
    side_by_side(
        [(format!("{REPLIES}.r0"), View::NotChecked), (REQUESTS.to_owned(), View::Fails)],
        check_key_of_another_type,
    );
}

async fn check_key_of_another_type((key, view): (String, View)) {
    let server = RedisServer::start();
    let scene = Scene::start(&server).await;
    let before = connections(&server);

    let _: i64 = server.command(&["DEL", &key]);
    let _: () = server.command(&["SET", &key, "x"]);

    scene.check_log(&key, 5, view).await;
    let made = connections(&server) - before - 3;
    assert!(made <= 12, "{key}: {made} connections");
}

#[test]
fn a_command_denied_to_the_gateway_is_logged_once() {
    let gateway: fn(&Scene) -> bool = |scene| scene.asker.is_ready();
    side_by_side(["xread", "xinfo", "xadd", "expire"].map(|command| (command, gateway)), check_denied);
}

#[test]
fn a_command_denied_to_the_worker_is_logged_once() {
    let worker: fn(&Scene) -> bool = |scene| scene.worker.is_ready();
    let commands = ["xreadgroup", "xack", "xclaim", "xautoclaim", "evalsha"];
    side_by_side(commands.map(|command| (command, worker)), check_denied);
}

/// Denies a command and checks the log. `is_ready` belongs to the process that needs the command.
async fn check_denied((command, is_ready): (&str, fn(&Scene) -> bool)) {
    let server = RedisServer::start();
    let scene = Scene::start(&server).await;
    let (before, mut asked) = (connections(&server), 1);

    let _: () = server.command(&["ACL", "SETUSER", "default", &format!("-{command}")]);
    eventually_async("the denied command is logged", async || {
        scene.logs.with("does not let this process").iter().any(|line| line.text.contains(command))
    })
    .await;

    eventually_async(&format!("the process is not ready without {command}"), async || !is_ready(&scene))
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
    let view = if command == "xinfo" { View::Fails } else { View::NotChecked };
    scene.check_log_of_view(command, view).await;
    let shown = scene.logs.shown();
    assert!(shown.len() <= 12, "{command}: {shown:#?}");
    assert!(scene.logs.with("works again").is_empty(), "{command}: {shown:#?}");
    let made = connections(&server) - before - asked - 1;
    assert!(made <= 12, "{command}: {made} connections");
}

#[tokio::test]
async fn a_demoted_node_is_logged_once() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let scene = Scene::start(&old).await;

    new.follow(&old);
    new.lead();
    old.follow(&new);

    scene.check_log("READONLY", 5, View::NotChecked).await;
}

/// The state of a cluster node that has all slots. It knows another node, which cannot be reached.
const NODES: &str = "\
0000000000000000000000000000000000000001 127.0.0.1:1@2 myself,master - 0 0 1 connected 0-16383
0000000000000000000000000000000000000002 127.0.0.1:3@4 master - 0 0 2 connected
vars currentEpoch 2 lastVoteEpoch 0
";

/// The only node of the cluster that can be reached.
fn cluster() -> RedisServer {
    // The server has no client port, from which Redis would derive the cluster port. So each server gets its
    // own cluster port.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port().to_string();
    let timeout = ["--cluster-node-timeout", "3600000"];
    let options = [&["--cluster-enabled", "yes", "--cluster-port", &port][..], &timeout].concat();
    RedisServer::start_on(&options, |folder| {
        std::fs::write(folder.join("nodes.conf"), NODES).expect("written");
    })
}

#[test]
fn slots_on_another_cluster_node_are_logged_once() {
    // The first change causes MOVED, the second CLUSTERDOWN.
    let changes = ["SETSLOT {} NODE 0000000000000000000000000000000000000002", "DELSLOTS {}"];
    side_by_side(changes, check_slots_on_another_node);
}

async fn check_slots_on_another_node(change: &str) {
    let server = cluster();
    let scene = Scene::start(&server).await;
    let before = connections(&server);

    let mut changes = 0;
    for key in [REQUESTS, &format!("{REPLIES}.r0")] {
        let slot: i64 = server.command(&["CLUSTER", "KEYSLOT", key]);
        let mut cmd = redis::cmd("CLUSTER");
        change.replace("{}", &slot.to_string()).split(' ').for_each(|word| {
            cmd.arg(word);
        });
        // Redis does not move a slot that has keys.
        let mut connection = redis::Client::open(server.url()).and_then(|client| client.get_connection());
        let connection = connection.as_mut().expect("connected");
        let mut pipe = redis::pipe();
        if change.starts_with("SETSLOT") {
            pipe.atomic().del(key);
        }
        pipe.add_command(cmd).exec(connection).expect("changed");
        changes += 2;
    }

    scene.check_log(change, 5, View::NotChecked).await;
    let made = connections(&server) - before - changes - 1;
    assert!(made <= 30, "{change}: {made} connections");
    scene.check_log_of_view(change, View::Fails).await;
}

#[tokio::test]
async fn a_lane_on_another_cluster_node_makes_no_dead_letters() {
    let server = cluster();
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
        eventually_async("a reply is refused with MOVED", async || {
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
async fn a_server_that_is_gone_is_logged_once() {
    let mut server = RedisServer::start();
    let scene = Scene::start(&server).await;

    server.kill();

    scene.check_log("connection refused", 5, View::Fails).await;
}

#[tokio::test]
async fn a_link_that_breaks_at_each_response_is_logged_once() {
    let server = RedisServer::start();
    let link = Link::to(&server);
    let scene = Scene::start(&link).await;

    link.cut_replies_after(0);
    link.cut();

    scene.check_log("reset", 5, View::Fails).await;
}
