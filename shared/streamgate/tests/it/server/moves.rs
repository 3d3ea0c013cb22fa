//! The address of Redis leads to another server. All connections of a process move to the new server.

use std::time::Duration;

use futures_util::future::join_all;
use streamgate::connection::{BlockingConnection, Redis};
use streamgate::stream::TailReader;
use streamgate::testing::{Link, RedisServer, eventually_async};

use crate::harness::{Asker, Echo, Gate, REPLIES, REQUESTS, Worker, redis};
use crate::load::Scene;
use crate::logs::Logs;

/// The number of clients that are connected to a server.
fn clients(server: &RedisServer) -> usize {
    let list: String = server.command(&["CLIENT", "LIST"]);
    // Leaves out the client that asks.
    list.lines().filter(|line| !line.contains("cmd=client|list")).count()
}

/// How often a server was asked for its time. Heartbeats ask once a second, so this is a clock that stands still
/// when the machine does.
fn heartbeats(server: &RedisServer) -> u64 {
    let stats: String = server.command(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_time:calls="));
    line.map_or(0, |line| line.split(',').next().and_then(|calls| calls.parse().ok()).expect("a number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_moves_is_followed_by_all_connections() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let scene = Scene::start(&link).await;

    // The old server still runs, and only one of the connections is closed.
    link.point_to(&new);
    let list: String = old.command(&["CLIENT", "LIST", "TYPE", "normal"]);
    let reader = list.lines().find(|line| line.contains("cmd=xread ")).expect("a reader of the lane");
    let id = reader.split_once("id=").and_then(|(_, rest)| rest.split(' ').next()).expect("an id");
    let _: i64 = old.command(&["CLIENT", "KILL", "ID", id]);

    eventually_async("no connection to the old server is left", async || clients(&old) == 0).await;
    scene.heals(&new).await;
}

#[tokio::test]
async fn an_admin_command_is_not_sent_to_another_server() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let redis = redis(&link);
    let _: redis::Value = redis.command(&redis::cmd("PING")).await.expect("connected");
    let set = redis::cmd("SET").arg("key").arg("x").to_owned();

    // The shared connection to the old server stays open, because that server still runs.
    link.point_to(&new);
    let refused = redis.admin_command(&set).await.expect_err("the command would change another server");

    assert!(refused.to_string().contains("another server"), "{refused}");
    assert_eq!(new.command::<i64>(&["DBSIZE"]), 0);
    link.cut();
    eventually_async("the process moves to the new server", async || redis.admin_command(&set).await.is_ok())
        .await;
    assert_eq!(new.command::<i64>(&["DBSIZE"]), 1);
}

#[tokio::test]
async fn a_move_is_logged_once() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let logs = Logs::capture();
    let asker = Asker::start(&link, Some("r0")).await;
    let _worker = Worker::start(&link, "w1", Echo).await;

    link.point_to(&new);
    link.cut();
    eventually_async("the new server answers", async || {
        asker.ask_within("x", Duration::from_secs(5)).await.is_ok()
    })
    .await;

    // Gateway and worker have a handle each. One of them may notice the move only by its heartbeat.
    let logged = || logs.with("another Redis server answers under this address; all").len();
    eventually_async("both processes have logged it", async || logged() >= 2).await;
    assert_eq!(logged(), 2, "{:#?}", logs.shown());
    assert!(new.command::<i64>(&["XLEN", REQUESTS]) > 0);
}

#[tokio::test]
async fn after_a_restart_of_the_same_server_requests_work_again() {
    let mut server = RedisServer::start_durable();
    let asker = Asker::start(&server, None).await;
    let _worker = Worker::start(&server, "w1", Echo).await;

    server.restart();

    eventually_async("a request is answered again", async || {
        asker.ask_within("x", Duration::from_secs(5)).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn another_client_with_the_same_id_is_not_unblocked() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let redis = redis(&link);
    let mut reader = BlockingConnection::new(redis.clone(), Duration::from_secs(20), "test");
    let id: i64 = reader
        .run(&redis::cmd("CLIENT").arg("ID").to_owned())
        .await
        .ok()
        .and_then(|id| redis::from_redis_value(id).ok())
        .expect("an id");
    let waker = reader.waker();

    // On the new server, a foreign client gets the same id, and blocks. Nobody else connects there before.
    let socket = new.url();
    let (has_id, with_id) = tokio::sync::oneshot::channel();
    let foreign = std::thread::spawn(move || {
        let client = redis::Client::open(socket).expect("a URL");
        loop {
            let mut connection = client.get_connection().expect("connected");
            let own: i64 = redis::cmd("CLIENT").arg("ID").query(&mut connection).expect("an id");
            assert!(own <= id, "the id was skipped");
            if own == id {
                has_id.send(()).expect("the test waits");
                let popped: redis::RedisResult<Option<(String, String)>> =
                    redis::cmd("BLPOP").arg("never").arg(0).query(&mut connection);
                return popped;
            }
        }
    });
    with_id.await.expect("the id was not skipped");
    link.point_to(&new);
    eventually_async("the foreign client blocks", async || {
        new.command::<String>(&["INFO", "clients"]).contains("blocked_clients:1")
    })
    .await;
    link.cut();
    eventually_async("the process is with the new server", async || {
        redis.command(&redis::cmd("PING")).await.is_ok()
    })
    .await;
    for _ in 0..50 {
        assert!(waker.wake().await);
    }

    let blocked: String = new.command(&["INFO", "clients"]);
    assert!(blocked.contains("blocked_clients:1"), "{blocked}");
    let _: i64 = new.command(&["LPUSH", "never", "x"]);
    assert!(foreign.join().expect("joins").expect("popped").is_some());
}

#[tokio::test]
async fn a_user_without_client_unblock_keeps_its_connections() {
    let server = RedisServer::start();
    let worker = Worker::start(&server, "w1", Echo).await;
    let _: () = server.command(&["ACL", "SETUSER", "default", "-client|unblock"]);
    let before: String = server.command(&["INFO", "stats"]);

    worker.stop().await;

    let received = |stats: &str| -> i64 {
        let line = stats.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.and_then(|count| count.trim().parse().ok()).expect("a number")
    };
    let after: String = server.command(&["INFO", "stats"]);
    assert!(received(&after) - received(&before) <= 3, "each attempt cost a connection");
    assert!(after.contains("total_error_replies"), "{after}");
}

/// Checks that a reader gets all entries of a new primary whose clock is behind. `meanwhile` runs between
/// the cut of the link and the next read.
async fn check_reads_from_a_new_primary(meanwhile: impl AsyncFnOnce(&Redis)) {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let lane = format!("{REPLIES}.r0");
    let redis = redis(&link);
    let key = lane.parse().expect("a name");
    let mut tail = TailReader::new(redis.clone(), key, Duration::from_millis(200), "test");
    tail.start(&Default::default()).await;
    let far: String = old.command(&["XADD", &lane, "9000000000000-0", "n", "old"]);
    assert_eq!(tail.read().await.expect("read").len(), 1);

    // On the new server, one entry has an id below the last id that was read. Another entry has an id above
    // it, so that the last id of the stream does not reveal this.
    let _: String = new.command(&["XADD", &lane, "5-0", "n", "behind"]);
    let _: String = new.command(&["XADD", &lane, &far.replace("-0", "-9"), "n", "ahead"]);
    link.point_to(&new);
    link.cut();
    meanwhile(&redis).await;
    let mut found = Vec::new();
    eventually_async("both entries are read", async || {
        if let Ok(entries) = tail.read().await {
            found.extend(entries.iter().map(|entry| entry.id.to_string()));
        }
        found.len() >= 2
    })
    .await;

    assert_eq!(found, ["5-0", "9000000000000-9"]);
    assert!(tail.has_started_over(), "the caller of read can tell");
}

#[tokio::test]
async fn a_new_primary_whose_clock_is_behind_loses_no_reply() {
    check_reads_from_a_new_primary(async |_| ()).await;
}

#[tokio::test]
async fn a_new_primary_found_by_a_heartbeat_loses_no_reply() {
    // Another connection notices the move first, so the reader's connection is replaced without an error.
    check_reads_from_a_new_primary(async |redis| {
        let ping = redis::cmd("PING");
        eventually_async("another connection works", async || redis.command(&ping).await.is_ok()).await;
    })
    .await;
}

#[tokio::test]
async fn the_clock_of_another_server_is_read_at_once() {
    let (old, new) = (RedisServer::start(), RedisServer::start());
    let link = Link::to(&old);
    let redis = redis(&link);
    eventually_async("the first sample", async || redis.round_trip().is_some()).await;
    redis.clock().record(1_000, 2_000);
    let wrong = redis.clock().offset_ms();

    // Much slower than the best round trip: on the same server, such a sample is ignored for 10 s.
    link.delay(Duration::from_millis(30));
    link.point_to(&new);
    link.cut();
    eventually_async("a sample of the new one", async || redis.clock().offset_ms() != wrong).await;

    // One a second: a sample that is ignored for 10 s would take as many.
    let beats = heartbeats(&new);
    assert!(beats <= 5, "{beats} heartbeats");
}

#[tokio::test]
async fn no_request_is_admitted_while_the_lane_cannot_be_read() {
    let faults = [
        &["SET replies.r0 x"][..],
        &["ACL SETUSER default -xread"],
        &["ACL SETUSER default -xadd"],
        &["DEL requests", "SET requests x"],
    ];
    join_all(faults.map(check_that_requests_are_refused)).await;
}

async fn check_that_requests_are_refused(fault: &[&str]) {
    let server = RedisServer::start();
    let asker = Asker::start(&server, Some("r0")).await;
    let gate = Gate::default();
    let _worker = Worker::start(&server, "w1", gate.clone()).await;
    gate.open();
    asker.ask("before").await.expect("answered");

    let _: i64 = server.command(&["DEL", "replies.r0"]);
    for command in fault {
        let _: redis::Value = server.command(&command.split(' ').collect::<Vec<_>>());
    }
    // A missing permission is noticed only when a command needs it. Readers send commands by themselves; for
    // the writer, this request does it.
    let _ = asker.ask_within("meets it", Duration::from_millis(100)).await;
    let before = heartbeats(&server);
    eventually_async("the gateway is not ready", async || !asker.is_ready()).await;
    // Two a second, of gateway and worker, and one of each check of the permissions.
    let beats = heartbeats(&server) - before;
    assert!(beats <= 16, "{fault:?}: noticed only by the check every 15 s, after {beats} heartbeats");
    let length = || server.try_run::<i64>(redis::cmd("XLEN").arg(REQUESTS)).unwrap_or(-1);
    let before = length();
    let refused = asker.ask("refused").await.expect_err("the reply could not be read");

    assert_eq!(refused.kind, streamgate::requester::RequestErrorKind::Unavailable, "{fault:?}");
    assert_eq!(length(), before, "{fault:?}: nothing is stored");

    let _: () = server.command(&["ACL", "SETUSER", "default", "+@all"]);
    let _: i64 = server.command(&["DEL", "replies.r0"]);
    if fault[0].starts_with("DEL requests") {
        let _: i64 = server.command(&["DEL", "requests"]);
    }
    eventually_async("the gateway is ready again", async || asker.is_ready()).await;
    asker.ask("after").await.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
}
